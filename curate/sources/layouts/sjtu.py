"""SJTU-shaped sets: PNGs in a folder per person, or flat with the person in the file name."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from curate.sources.entry import Entry, encode_name
from curate.sources.layouts.folder import FolderSource, read_entry, require_photos
from curate.sources.stores.tar import TarSource
from curate.sources.stores.walk import photo_at, photos_under
from manifests.schema import NO_IDENTITY

_NUMBERED = re.compile(r"(?P<person>.*?)[ _.\-]*[ _.\-(]\d+\)?$", re.DOTALL)


def person_of(file_name: str) -> str:
    """Whose photo a flat file is: its name without extension, up to the last separator before the final digits.

    "li_wei_0012.png" and "li_wei (12).png" are "li_wei"; "liwei12.png", with no separator, is "liwei12"; a name of
    digits alone is nobody's: ".".
    """
    stem = file_name.rpartition(".")[0]
    match = _NUMBERED.fullmatch(stem)
    person = match["person"] if match else stem
    return person if person.strip("0123456789 _.-()") else NO_IDENTITY


class SjtuSource:
    """ROOT/<person>/**/photo and ROOT/<person>_0001.png, also mixed: one name is one person either way.

    For flat files their names are kept in memory, some 30 bytes each; for folders nothing is.
    """

    kind = "sjtu"

    def __init__(self, root: Path) -> None:
        self.root = root
        require_photos(root, "<person>/<photo>.png or <person>_0001.png")
        self._folders = FolderSource(root)
        self._flat: dict[str, bytearray] = {}
        for photo in photos_under(str(root), NO_IDENTITY, Counter(), deep=False):
            name = os.fsencode(photo.path)
            self._flat.setdefault(encode_name(os.fsencode(person_of(photo.path))), bytearray()).extend(name + b"\0")

    def describe(self) -> str:
        people = self.identities()
        return f"{self.root}: {len(people):,} identities, {len(self._flat):,} of them with photos named after them"

    def identities(self) -> list[str]:
        folders = set(self._folders.identities()) - {NO_IDENTITY}
        return sorted(folders | set(self._flat))

    def entries(self, identity: str) -> list[Entry]:
        entries = [] if identity == NO_IDENTITY else self._folders.entries(identity)
        names = bytes(self._flat.get(identity, b"")).split(b"\0")[:-1]
        entries += [photo_at(str(self.root), os.fsdecode(name)).entry(identity) for name in names]
        return sorted(entries, key=lambda entry: entry.image_id)

    def read(self, entry: Entry) -> bytes:
        return read_entry(self.root, entry)

    def ignored(self) -> dict[str, int]:
        return self._folders.ignored()

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        return {}


def open_tar(root: Path) -> TarSource:
    """A tar of either shape, also under one wrapping folder."""
    return TarSource("sjtu", root, _place)


def _place(path: str) -> tuple[str, str | None]:
    return path.partition("/")[0] if "/" in path else person_of(path), None
