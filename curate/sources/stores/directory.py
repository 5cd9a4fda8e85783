"""The store `directory`: photos as files in a directory tree."""

import os
from collections import Counter
from pathlib import Path
from typing import ClassVar

from curate.sources.entry import Entry, extension, is_photo, join
from curate.sources.stores.store import PhotoFile, no_photos
from curate.sources.stores.walk import count_files, is_folder, photo_at, photos_under, read_file
from curate.sources.system_files import system_kind


class DirectoryStore:
    """Lists a directory anew on each call, so that memory does not depend on the number of photos."""

    top = ""
    wraps: ClassVar[bool] = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.beside = root
        self._ignored: dict[tuple[str, bool], Counter[str]] = {}
        self._system_folders = set[str]()

    @classmethod
    def accepts(cls, root: Path) -> bool:
        return root.is_dir()

    def require_photos(self, expected: str) -> None:
        others = Counter[str]()
        folders = 0
        for folder, below, files in os.walk(self.root):
            below[:] = sorted(name for name in below if system_kind(name, folder=True) is None)
            folders += len(below)
            for name in files:
                kind = system_kind(name, folder=False)
                if kind is None and is_photo(name):
                    return
                others[extension(name) if kind is None else kind] += 1
            # os.walk does not enter linked folders; photos_under does, and detects loops.
            for path in (os.path.join(folder, name) for name in below):
                if os.path.islink(path):
                    linked = photos_under(str(self.root), os.path.relpath(path, self.root), Counter())
                    if any(photo.refusal is None for photo in linked):
                        return
        raise no_photos(self.root, folders, others, expected)

    def folders(self, folder: str) -> list[str]:
        with os.scandir(self.root / folder) as listing:
            names = [item.name for item in listing if is_folder(item)]
        system = {name for name in names if system_kind(name, folder=True)}
        self._system_folders.update(join(folder, name) for name in system)
        return [name for name in names if name not in system]

    def photos(self, folder: str, *, deep: bool) -> list[PhotoFile]:
        if not os.path.isdir(self.root / folder):
            return []
        ignored = self._ignored[folder, deep] = Counter()
        return photos_under(str(self.root), folder, ignored, deep=deep, system_folders=self._system_folders)

    def named(self, path: str) -> list[PhotoFile]:
        return [photo_at(str(self.root), path)]

    def outside(self) -> list[PhotoFile]:
        return []

    def read(self, entry: Entry) -> bytes:
        return read_file(str(self.root), str(entry.location))

    def ignored(self) -> Counter[str]:
        counts = (count for listing, count in self._ignored.items() if not self._is_covered(*listing))
        ignored = sum(counts, Counter[str]())
        for folder in self._system_folders:
            kind = system_kind(folder.rpartition("/")[2], folder=True)
            if kind is not None:
                ignored[kind] += count_files(str(self.root), folder)
        return +ignored

    def _is_covered(self, folder: str, deep: bool) -> bool:
        """Whether the listing of a folder above, or a deeper one of this folder, has counted the same files."""
        if (folder, True) in self._ignored and not deep:
            return True
        while folder:
            folder = folder.rpartition("/")[0]
            if (folder, True) in self._ignored:
                return True
        return False
