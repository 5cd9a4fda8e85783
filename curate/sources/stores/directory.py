"""The store `directory`: photos as files in a directory tree."""

import os
from collections import Counter
from pathlib import Path

from curate.sources.entry import Entry, extension, is_photo
from curate.sources.stores.store import PhotoFile, no_photos
from curate.sources.stores.walk import is_folder, photo_at, photos_under, read_file


class DirectoryStore:
    """Lists a directory anew on each call, so that memory does not depend on the number of photos."""

    top = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.beside = root
        self._ignored: dict[tuple[str, bool], Counter[str]] = {}

    @classmethod
    def accepts(cls, root: Path) -> bool:
        return root.is_dir()

    def require_photos(self, expected: str) -> None:
        others = Counter[str]()
        folders = 0
        for folder, below, files in os.walk(self.root):
            below[:] = sorted(name for name in below if not name.startswith("."))
            folders += len(below)
            for name in files:
                if not name.startswith(".") and is_photo(name):
                    return
                others[extension(name)] += 1
            # os.walk does not enter linked folders; photos_under does, and detects loops.
            for path in (os.path.join(folder, name) for name in below):
                if os.path.islink(path):
                    linked = photos_under(str(self.root), os.path.relpath(path, self.root), Counter())
                    if any(photo.refusal is None for photo in linked):
                        return
        raise no_photos(self.root, folders, others, expected)

    def folders(self, folder: str) -> list[str]:
        with os.scandir(self.root / folder) as listing:
            return [item.name for item in listing if not item.name.startswith(".") and is_folder(item)]

    def photos(self, folder: str, *, deep: bool) -> list[PhotoFile]:
        if not os.path.isdir(self.root / folder):
            return []
        ignored = self._ignored[folder, deep] = Counter()
        return photos_under(str(self.root), folder, ignored, deep=deep)

    def named(self, path: str) -> list[PhotoFile]:
        return [photo_at(str(self.root), path)]

    def outside(self) -> list[PhotoFile]:
        return []

    def read(self, entry: Entry) -> bytes:
        return read_file(str(self.root), str(entry.location))

    def ignored(self) -> Counter[str]:
        return sum(self._ignored.values(), Counter[str]())
