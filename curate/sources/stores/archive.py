"""The base class of stores that list a whole archive when they are opened, and read its photos by offset."""

import os
import zlib
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from curate.errors import DecodeError
from curate.sources.entry import MAX_FILE_BYTES, Entry, extension, is_photo
from curate.sources.stores.store import PhotoFile, no_photos
from curate.sources.system_files import system_kind_of_path

Rows = npt.NDArray[np.int64]

TOO_LARGE = f"larger than {MAX_FILE_BYTES >> 20} MiB"
LABEL_KEYS = ("label", "identity", "cls", "class", "class_name", "person")
"""Names under which labels are found, in this order."""
_FILE_BITS = 44
"""A location is the number of the archive's file, then an offset (or a row) of 44 bits: 16 TiB a file."""


@dataclass(frozen=True, slots=True)
class Member:
    """A photo of an archive.

    Attributes:
        path: Relative to the root of the archive.
        location: Where `_extract` finds the bytes in its file: an offset or a row, at most 44 bits.
        size: Bytes, after decompression.
        mtime_ns: Time of the last modification.
        refusal: Why it cannot be read, else None.
        outside: Whether the path leads out of the archive.
        file: Number of the file in `ArchiveStore.files`.
    """

    path: str
    location: int
    size: int
    mtime_ns: int
    refusal: str | None = None
    outside: bool = False
    file: int = 0


class ArchiveStore(ABC):
    """The photos of an archive of one or several files; about 80 bytes of memory per photo.

    Of several members of one path the last is the photo, as after unpacking; the earlier ones are refused copies. A
    new kind of archive implements `accepts`, `_members` and `_extract`.
    """

    kind: ClassVar[str]
    """Name of the archive in messages."""
    wraps: ClassVar[bool] = True
    """Whether one folder may wrap everything (`tar c photos/`), so that the layout begins in it; see `Store`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = self._find_files()
        self.beside = self.files[0].parent
        self._ignored = Counter[str]()
        self._versions = [_version(path.stat()) for path in self.files]
        self._names = bytearray()  # all paths, end to end
        self._reasons: list[str | None] = [None]
        reasons: dict[str | None, int] = {None: 0}
        numbers: dict[str, int] = {}  # folder -> number in order of appearance
        ends, locations, sizes, mtimes = array("q"), array("q"), array("q"), array("q")
        parents, refusals = array("q"), array("B")
        for member in self._members():
            self._names += os.fsencode(member.path)
            ends.append(len(self._names))
            locations.append(member.file << _FILE_BITS | member.location)
            sizes.append(member.size)
            mtimes.append(member.mtime_ns)
            if member.refusal not in reasons:
                reasons[member.refusal] = len(reasons)
                self._reasons.append(member.refusal)
            refusals.append(reasons[member.refusal])
            folder = member.path.rpartition("/")[0]
            parents.append(-1 if member.outside else numbers.setdefault(folder, len(numbers)))
        self._ends, self._locations, self._sizes = np.asarray(ends), np.asarray(locations), np.asarray(sizes)
        self._mtimes, self._refusals = np.asarray(mtimes), np.asarray(refusals)

        # Rows sorted by folder, in the archive's order within each; rows outside come first.
        self._folders = sorted(numbers)
        rank = np.empty(len(numbers) + 1, np.int64)
        rank[[numbers[folder] for folder in self._folders]] = np.arange(len(numbers))
        rank[-1] = -1
        parent = rank[np.asarray(parents)]
        self._order = np.argsort(parent, kind="stable")
        self._starts = np.searchsorted(parent[self._order], np.arange(-1, len(numbers) + 1))
        self.top = self._wrapper() if self.wraps else ""

    @classmethod
    @abstractmethod
    def accepts(cls, root: Path) -> bool:
        """Whether this store opens `root`, an existing path."""

    @abstractmethod
    def _members(self) -> Iterator[Member]:
        """Yield the photos, and count other files in `self._ignored`. Raises SourceError for a damaged archive."""

    @abstractmethod
    def _extract(self, descriptor: int, location: int, size: int) -> bytes:
        """Read a photo of `size` bytes from an open file of the archive. Raises DecodeError or OSError."""

    def _find_files(self) -> list[Path]:
        """List the files of the archive."""
        return [self.root]

    def _split(self, file: int) -> str | None:
        """Return the split of all photos of a file of the archive, None where the paths say it."""
        return None

    def require_photos(self, expected: str) -> None:
        if not len(self._ends):
            raise no_photos(self.root, 0, self._ignored, expected)

    def folders(self, folder: str) -> list[str]:
        first, last = self._below(folder)
        start = len(folder) + 1 if folder else 0
        names = (path[start:].partition("/")[0] for path in self._folders[first:last])
        return list(dict.fromkeys(name for name in names if name))

    def photos(self, folder: str, *, deep: bool) -> list[PhotoFile]:
        at = bisect_left(self._folders, folder)
        ranges = [(at, at + 1)] if self._folders[at : at + 1] == [folder] else []
        if deep:
            ranges.append(self._below(folder))
        rows = [self._order[self._starts[first + 1] : self._starts[last + 1]] for first, last in ranges]
        return self._photo_files(np.concatenate([np.empty(0, np.int64), *rows]))

    def named(self, path: str) -> list[PhotoFile]:
        hashes, rows = self._by_hash
        value = np.uint32(zlib.crc32(os.fsencode(path)))
        same = rows[np.searchsorted(hashes, value) : np.searchsorted(hashes, value, "right")]
        return self._photo_files(row for row in same if self._path(row) == path)

    def outside(self) -> list[PhotoFile]:
        return self._photo_files(self._order[: self._starts[1]])

    def read(self, entry: Entry) -> bytes:
        number, location = divmod(int(entry.location), 1 << _FILE_BITS)
        try:
            with self.files[number].open("rb", buffering=0) as file:
                if _version(os.fstat(file.fileno())) != self._versions[number]:
                    raise DecodeError(f"cannot be read: the {self.kind} changed after it was listed")
                return self._extract(file.fileno(), location, entry.size)
        except OSError as error:
            raise DecodeError(f"cannot be read: {error.strerror}") from error

    def ignored(self) -> Counter[str]:
        return self._ignored

    def _visible_path(self, name: str) -> tuple[str, bool] | None:
        """Split a member's name into its path without "./", and whether it leads outside.

        Backslashes, which tools on Windows write between folders, become "/". Returns None for what is not listed but
        counted: system files, and files that are not photos.
        """
        name = name.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        kind = system_kind_of_path(parts)
        if kind is not None:
            self._ignored[kind] += 1
            return None
        if not parts or not is_photo(parts[-1]):
            self._ignored[extension(parts[-1] if parts else "")] += 1
            return None
        absolute = name.startswith("/")
        return "/" * absolute + "/".join(parts), absolute or ".." in parts

    def _wrapper(self) -> str:
        """The folder that wraps everything, "" if there is none: all photos are at least two folders deep in it."""
        tops = {folder.partition("/")[0] for folder in self._folders}
        return tops.pop() if len(tops) == 1 and all("/" in folder for folder in self._folders) else ""

    def _below(self, folder: str) -> tuple[int, int]:
        """The range of `self._folders` that lies below `folder`."""
        if not folder:
            return bisect_left(self._folders, "\x01"), len(self._folders)
        # "0" follows "/" in the order of characters.
        return bisect_left(self._folders, f"{folder}/"), bisect_left(self._folders, f"{folder}0")

    def _photo_files(self, rows: Iterable[int]) -> list[PhotoFile]:
        paths = [(int(row), self._path(row)) for row in rows]
        last = {path: row for row, path in paths}
        copies = Counter[str]()
        files = []
        for row, path in paths:
            refusal = self._reasons[self._refusals[row]]
            if last[path] != row:
                copies[path] += 1
                refusal = f"duplicate: a later {self.kind} member has the same name"
            copy = copies[path] if last[path] != row else 0
            location, size, mtime_ns = (int(column[row]) for column in (self._locations, self._sizes, self._mtimes))
            split = self._split(location >> _FILE_BITS)
            files.append(PhotoFile(path, location, size, mtime_ns, refusal, copy, split))
        return files

    def _path(self, row: int) -> str:
        start = self._ends[row - 1] if row else 0
        return os.fsdecode(bytes(self._names[start : self._ends[row]]))

    @cached_property
    def _by_hash(self) -> tuple[npt.NDArray[np.uint32], Rows]:
        """(N,) hashes of the paths, sorted, and their rows."""
        hashes = np.array([zlib.crc32(os.fsencode(self._path(row))) for row in range(len(self._ends))], np.uint32)
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order


def pread_exactly(descriptor: int, size: int, offset: int, kind: str) -> bytes:
    """Read `size` bytes at `offset`. Raises DecodeError where the file ends before."""
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise DecodeError(f"cannot be read: the {kind} ends early")
    return data


def files_in(root: Path, ending: str) -> list[Path]:
    """List the files with this extension of a folder that holds no other folder and no photo, sorted; else nothing."""
    files: list[Path] = []
    if not root.is_dir():
        return files
    with os.scandir(root) as listing:
        for item in listing:
            if item.name.startswith("."):
                continue
            if is_photo(item.name) or item.is_dir():
                return []
            if extension(item.name) == ending:
                files.append(root / item.name)
    return sorted(files)


def folder_name(label: str) -> str:
    """Return a label as the name of one visible folder: "A/B" is "A_B", ".x" is "_x"."""
    name = label.strip().replace("/", "_").replace("\\", "_").replace("\0", "_")
    return f"_{name[1:]}" if name.startswith(".") else name or "_"


def _version(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
