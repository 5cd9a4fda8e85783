"""The store `objects`: photos under a prefix of an object store, such as s3://bucket/photos."""

from collections import Counter
from pathlib import Path
from typing import ClassVar

from curate.errors import DecodeError
from curate.sources.entry import MAX_FILE_BYTES, Entry, extension, is_photo, join
from curate.sources.stores.archive import TOO_LARGE
from curate.sources.stores.store import PhotoFile, no_photos
from curate.sources.system_files import system_kind, system_kind_of_path
from manifests.input import problem
from manifests.locations import ObjectPath
from manifests.object_storage import list_folder, read

_SAMPLE_FOLDERS = 64


class ObjectStore:
    """Lists a prefix anew on each call, a request for each thousand objects."""

    top = ""
    wraps: ClassVar[bool] = True

    def __init__(self, root: Path) -> None:
        assert isinstance(root, ObjectPath)
        self.root: Path = root
        self.beside: Path = root
        self._objects = root
        self._ignored: dict[tuple[str, bool], Counter[str]] = {}

    @classmethod
    def accepts(cls, root: Path) -> bool:
        return isinstance(root, ObjectPath) and root.is_dir()

    def require_photos(self, expected: str) -> None:
        others = Counter[str]()
        pending, folders = [""], 0
        while pending and folders < _SAMPLE_FOLDERS:  # a larger tree without photos is found when it is listed
            folder = pending.pop()
            for info in list_folder(self._objects / folder):
                path = join(folder, info.name)
                if info.is_folder:
                    folders += 1
                    pending += [path] if system_kind(info.name, folder=True) is None else []
                elif is_photo(info.name) and system_kind(info.name, folder=False) is None:
                    return
                else:
                    others[extension(info.name)] += 1
        if not pending:
            raise no_photos(self.root, folders, others, expected)

    def folders(self, folder: str) -> list[str]:
        names = [info.name for info in list_folder(self._objects / folder) if info.is_folder]
        return [name for name in names if system_kind(name, folder=True) is None]

    def photos(self, folder: str, *, deep: bool) -> list[PhotoFile]:
        ignored = self._ignored[folder, deep] = Counter()
        photos = []
        for info in list_folder(self._objects / folder, deep=deep):
            if info.is_folder:
                continue
            kind = system_kind_of_path(info.name.split("/"))
            if kind is not None or not is_photo(info.name):
                ignored[extension(info.name) if kind is None else kind] += 1
                continue
            path = join(folder, info.name)
            refusal = TOO_LARGE if info.size > MAX_FILE_BYTES else None
            photos.append(PhotoFile(path, path, info.size, info.mtime_ns, refusal))
        return photos

    def named(self, path: str) -> list[PhotoFile]:
        try:
            status = (self._objects / path).stat()
        except FileNotFoundError:
            return [PhotoFile(path, path, refusal="no such object")]
        return [PhotoFile(path, path, status.st_size, status.st_mtime_ns)]

    def outside(self) -> list[PhotoFile]:
        return []

    def read(self, entry: Entry) -> bytes:
        try:
            return read(self._objects / str(entry.location))
        except OSError as error:
            raise DecodeError(f"cannot be read: {problem(error)}") from error

    def ignored(self) -> Counter[str]:
        # A deep listing of a folder has counted the files of a shallow one.
        counts = (
            count for (folder, deep), count in self._ignored.items() if deep or (folder, True) not in self._ignored
        )
        return +sum(counts, Counter[str]())
