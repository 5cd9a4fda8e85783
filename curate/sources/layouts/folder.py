"""Any folder per person: the first path component is the identity."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from curate.errors import DecodeError, SourceError
from curate.sources.entry import Entry, decode_name, encode_name, extension, is_photo
from curate.sources.stores.tar import TarSource
from curate.sources.stores.walk import is_folder, photos_under, read_file
from manifests.schema import NO_IDENTITY


class FolderSource:
    """ROOT/<person>/**/photo. Photos directly in ROOT get the identity "."; an empty folder is an identity too.

    Nothing is kept of what was listed but the counts of ignored files, so memory is that of one identity.
    """

    kind = "folder"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ignored: dict[str, Counter[str]] = {}
        require_photos(root, "a folder of photos for each person")

    def describe(self) -> str:
        return f"{self.root}: {len(self.identities()):,} identities, one folder each"

    def identities(self) -> list[str]:
        people, loose = self._top()
        return sorted(people + ([NO_IDENTITY] if loose else []))

    def entries(self, identity: str) -> list[Entry]:
        name = os.fsdecode(decode_name(identity))
        if name == ".." or "/" in name or not os.path.isdir(self.root / name):
            return []
        ignored = self._ignored[identity] = Counter()
        found = photos_under(str(self.root), name, ignored, deep=identity != NO_IDENTITY)
        return sorted((photo.entry(identity) for photo in found), key=lambda entry: entry.image_id)

    def read(self, entry: Entry) -> bytes:
        return read_entry(self.root, entry)

    def ignored(self) -> dict[str, int]:
        return dict(sum(self._ignored.values(), Counter[str]()))

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        return {}

    def _top(self) -> tuple[list[str], bool]:
        """The people's folders, and whether photos lie beside them. Counts other files of ROOT as ignored."""
        people = []
        with os.scandir(self.root) as listing:
            for item in listing:
                if not item.name.startswith(".") and is_folder(item):
                    people.append(encode_name(os.fsencode(item.name)))
        ignored = Counter[str]()
        loose = photos_under(str(self.root), NO_IDENTITY, ignored, deep=False)
        self._ignored[NO_IDENTITY] = ignored
        return people, bool(loose)


def open_tar(root: Path) -> TarSource:
    """A tar of PERSON/**/photo, or of TOP/PERSON/**/photo where everything lies under one TOP."""
    return TarSource("folder", root, _place)


def _place(path: str) -> tuple[str, str | None]:
    return path.partition("/")[0] if "/" in path else NO_IDENTITY, None


def read_entry(root: Path, entry: Entry) -> bytes:
    """The bytes of a photo in a directory. Raises DecodeError."""
    if entry.refusal is not None:
        raise DecodeError(f"cannot be read: {entry.refusal}")
    return read_file(str(root), str(entry.location))


def require_photos(root: Path, expected: str) -> None:
    """Raise SourceError, saying what is there instead, where no photo lies anywhere under `root`."""
    others = Counter[str]()
    folders = 0
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        folders += len(below)
        for name in files:
            if not name.startswith(".") and is_photo(name):
                return
            others[extension(name) or "no extension"] += 1
        # os.walk does not enter linked folders; photos_under does, and comes back from loops.
        for path in (os.path.join(folder, name) for name in below):
            if os.path.islink(path) and any(
                photo.refusal is None for photo in photos_under(str(root), os.path.relpath(path, root), Counter())
            ):
                return
    if not folders and not others:
        raise SourceError(f"{root} is empty: expected {expected}; give the right folder with --root DIR")
    files_seen = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common(4)) or "no files"
    raise SourceError(
        f"no photo under {root}: found {folders:,} folders and {files_seen}, expected {expected} "
        f"(jpg, png, webp, bmp, gif, tif); give the right folder with --root DIR"
        + (", or one .tar itself" if others[".tar"] else "")
    )
