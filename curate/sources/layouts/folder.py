"""The layout `folder`: one folder per identity."""

import os
from typing import TYPE_CHECKING

from curate.sources.entry import Entry, decode_name, encode_name
from curate.sources.layouts.layout import Layout
from manifests.identity import NO_IDENTITY

if TYPE_CHECKING:
    from curate.sources.stores.store import Store


class Folder(Layout):
    """ROOT/<identity>/**/photo. Photos directly in ROOT have no identity; an empty folder is an identity too."""

    summary = "any folder per person"
    expected = "one folder of photos per person"

    def identities(self) -> list[str]:
        loose = [NO_IDENTITY] if self.store.photos(self.store.top, deep=False) else []
        return [*identity_folders(self.store), *loose]

    def entries(self, identity: str) -> list[Entry]:
        if identity == NO_IDENTITY:
            return [file.entry(identity) for file in self.store.photos(self.store.top, deep=False)]
        return entries_below(self.store, identity)


def identity_folders(store: "Store") -> list[str]:
    """List the folders at the top of a store, as identities."""
    return [encode_name(os.fsencode(name)) for name in store.folders(store.top)]


def entries_below(store: "Store", identity: str) -> list[Entry]:
    """List the photos in the folder of this identity and in all folders below it."""
    name = os.fsdecode(decode_name(identity))
    if not name or name in (".", "..") or "/" in name:
        return []
    folder = f"{store.top}/{name}" if store.top else name
    return [file.entry(identity) for file in store.photos(folder, deep=True)]
