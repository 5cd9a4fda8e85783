"""The layout `sjtu`: PNGs in one folder per identity, or flat with the identity in the file name."""

import os
import re
import shlex
import unicodedata
from typing import TYPE_CHECKING

from curate.errors import SourceError
from curate.sources.entry import Entry, encode_name, join
from curate.sources.layouts.folder import entries_in, identity_folders, suggestion
from curate.sources.layouts.layout import Layout
from curate.sources.layouts.splits import split_in_name
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

    The names of flat files are kept in memory, about 30 bytes each. Raises SourceError where all photos are below one
    folder that wraps the people, or below folders of splits.
    """

    summary = "PNGs, one folder per person or the person's name in the file name"
    expected = "<person>/<photo>.png or <person>_0001.png"

    def __init__(self, store: "Store") -> None:
        super().__init__(store)
        self._require_people()
        self._folders = identity_folders(store, store.top)
        flat: dict[str, set[str]] = {}
        for file in store.photos(store.top, deep=False):
            name = file.path.rpartition("/")[2]
            flat.setdefault(_normal(identity_of(name)), set()).add(file.path)
        self._flat = {
            identity: b"\0".join(os.fsencode(path) for path in sorted(paths)) for identity, paths in flat.items()
        }

    def _require_people(self) -> None:
        store, names = self.store, self.store.folders(self.store.top)
        if not (len(names) == 1 or (names and all(map(split_in_name, names)))) or store.photos(store.top, deep=False):
            return
        folders = [join(store.top, name) for name in names]
        if all(store.folders(folder) and not store.photos(folder, deep=False) for folder in folders):
            raise SourceError(
                f"{store.root} is not laid out as sjtu: expected {self.expected}, found folders of folders in "
                f"{', '.join(sorted(folders))}: give one of these as --root, or use "
                f"`curate clean folder --root {shlex.quote(str(store.root))}{suggestion(store)}`"
            )

    def identities(self) -> list[str]:
        return [*self._folders, *self._flat]

    def entries(self, identity: str) -> list[Entry]:
        flat = self._flat.get(identity)
        paths = [] if flat is None else [os.fsdecode(path) for path in flat.split(b"\0")]
        named = [file.entry(identity) for path in paths for file in self.store.named(path)]
        return entries_in(self.store, self._folders, identity) + named


def _normal(identity: str) -> str:
    return unicodedata.normalize("NFC", encode_name(os.fsencode(identity)))
