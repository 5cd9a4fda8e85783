"""The layout `sjtu`: PNGs in one folder per identity, or flat with the identity in the file name."""

import os
import re
import unicodedata
from typing import TYPE_CHECKING

from curate.sources.entry import Entry, encode_name
from curate.sources.layouts.folder import entries_in, identity_folders
from curate.sources.layouts.layout import Layout
from manifests.identity import NO_IDENTITY

if TYPE_CHECKING:
    from curate.sources.stores.store import Store

_NUMBERED = re.compile(r"(?P<person>.*?)[ _.\-]*[ _.\-(]\d+\)?$", re.DOTALL)


def identity_of(file_name: str) -> str:
    """Return the identity of a flat file: its name without extension, up to the last separator before the final digits.

    "li_wei_0012.png" and "li_wei (12).png" are "li_wei"; "liwei12.png", without a separator, is "liwei12". A name of
    digits alone has no identity.
    """
    stem = file_name.rpartition(".")[0]
    match = _NUMBERED.fullmatch(stem)
    person = match["person"] if match else stem
    return person if person.strip("0123456789 _.-()") else NO_IDENTITY


class Sjtu(Layout):
    """ROOT/<identity>/**/photo and ROOT/<identity>_0001.png, also mixed: one name is one identity either way.

    The names of flat files are kept in memory, about 30 bytes each.
    """

    summary = "PNGs, one folder per person or the person's name in the file name"
    expected = "<person>/<photo>.png or <person>_0001.png"

    def __init__(self, store: "Store") -> None:
        super().__init__(store)
        self._folders = identity_folders(store, store.top)
        flat: dict[str, set[str]] = {}
        for file in store.photos(store.top, deep=False):
            name = file.path.rpartition("/")[2]
            flat.setdefault(_normal(identity_of(name)), set()).add(file.path)
        self._flat = {
            identity: b"\0".join(os.fsencode(path) for path in sorted(paths)) for identity, paths in flat.items()
        }

    def identities(self) -> list[str]:
        return [*self._folders, *self._flat]

    def entries(self, identity: str) -> list[Entry]:
        flat = self._flat.get(identity)
        paths = [] if flat is None else [os.fsdecode(path) for path in flat.split(b"\0")]
        named = [file.entry(identity) for path in paths for file in self.store.named(path)]
        return entries_in(self.store, self._folders, identity) + named


def _normal(identity: str) -> str:
    return unicodedata.normalize("NFC", encode_name(os.fsencode(identity)))
