"""The store `tar`: an uncompressed tar, read by offset; nothing is unpacked or written."""

import os
import tarfile
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.errors import DecodeError, SourceError
from curate.sources.entry import MAX_FILE_BYTES, Entry, extension, is_photo
from curate.sources.stores.store import PhotoFile, no_photos

Rows = npt.NDArray[np.int64]

_REFUSALS = (
    None,
    "tar member outside the tar's own folder",
    "tar member is a link",
    "tar member is not a regular file",
    "tar member is sparse",
    "cut off: the tar ends before this member does",
    f"larger than {MAX_FILE_BYTES >> 20} MiB",
)
_READABLE, _OUTSIDE, _LINK, _SPECIAL, _SPARSE, _CUT_OFF, _TOO_LARGE = range(len(_REFUSALS))


class TarStore:
    """The photos of one uncompressed tar, indexed when it is opened; about 80 bytes of memory per photo.

    Of several members of one name the last is the photo, as after unpacking; the earlier ones are refused copies.
    Members whose path leads outside (absolute, or with ".."), links, devices and sparse members are refused.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.beside = root.parent
        self._ignored = Counter[str]()
        status = root.stat()
        self._version = (status.st_size, status.st_mtime_ns)
        self._names = bytearray()  # all paths, end to end
        numbers: dict[str, int] = {}  # folder -> number in order of appearance
        ends, offsets, sizes, mtimes = array("q"), array("q"), array("q"), array("q")
        parents, refusals = array("q"), array("B")
        for path, member, refusal in _photo_members(root, self._ignored):
            self._names += os.fsencode(path)
            ends.append(len(self._names))
            offsets.append(member.offset_data)
            sizes.append(member.size)
            mtimes.append(int(member.mtime * 1e9))
            refusals.append(refusal)
            folder = path.rpartition("/")[0]
            parents.append(-1 if refusal == _OUTSIDE else numbers.setdefault(folder, len(numbers)))
        self._ends, self._offsets, self._sizes = np.asarray(ends), np.asarray(offsets), np.asarray(sizes)
        self._mtimes, self._refusals = np.asarray(mtimes), np.asarray(refusals)

        # Rows sorted by folder, in the tar's order within each; rows outside come first.
        self._folders = sorted(numbers)
        rank = np.empty(len(numbers) + 1, np.int64)
        rank[[numbers[folder] for folder in self._folders]] = np.arange(len(numbers))
        rank[-1] = -1
        parent = rank[np.asarray(parents)]
        self._order = np.argsort(parent, kind="stable")
        self._starts = np.searchsorted(parent[self._order], np.arange(-1, len(numbers) + 1))
        self.top = self._wrapper()

    @classmethod
    def accepts(cls, root: Path) -> bool:
        if not root.is_file():
            return False
        try:
            with tarfile.open(root, "r:"):
                return True
        except tarfile.ReadError:
            return False

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
        return self._files(np.concatenate([np.empty(0, np.int64), *rows]))

    def named(self, path: str) -> list[PhotoFile]:
        hashes, rows = self._by_hash
        value = np.uint32(zlib.crc32(os.fsencode(path)))
        same = rows[np.searchsorted(hashes, value) : np.searchsorted(hashes, value, "right")]
        return self._files(row for row in same if self._path(row) == path)

    def outside(self) -> list[PhotoFile]:
        return self._files(self._order[: self._starts[1]])

    def read(self, entry: Entry) -> bytes:
        try:
            with self.root.open("rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if (status.st_size, status.st_mtime_ns) != self._version:
                    raise DecodeError("cannot be read: the tar changed after it was listed")
                data = os.pread(file.fileno(), entry.size, int(entry.location))
        except OSError as error:
            raise DecodeError(f"cannot be read: {error.strerror}") from error
        if len(data) != entry.size:
            raise DecodeError("cannot be read: the tar ends early")
        return data

    def ignored(self) -> Counter[str]:
        return self._ignored

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

    def _files(self, rows: Iterable[int]) -> list[PhotoFile]:
        paths = [(int(row), self._path(row)) for row in rows]
        last = {path: row for row, path in paths}
        copies = Counter[str]()
        files = []
        for row, path in paths:
            refusal = _REFUSALS[self._refusals[row]]
            if last[path] != row:
                copies[path] += 1
                refusal = "duplicate: a later tar member has the same name"
            copy = copies[path] if last[path] != row else 0
            location, size, mtime_ns = (int(column[row]) for column in (self._offsets, self._sizes, self._mtimes))
            files.append(PhotoFile(path, location, size, mtime_ns, refusal, copy))
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


def _photo_members(root: Path, ignored: Counter[str]) -> Iterator[tuple[str, tarfile.TarInfo, int]]:
    """Yield each member with a photo's extension: path without "./", header, and its index in `_REFUSALS`."""
    end = root.stat().st_size
    try:
        archive = tarfile.open(root, "r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    except tarfile.ReadError as error:
        raise SourceError(f"{root} cannot be read as a tar ({error}): fetch it again") from error
    with archive:
        while True:
            try:
                member = archive.next()
            except tarfile.ReadError:  # the file ends inside the data of the last member, which is refused as cut off
                return
            if member is None:
                break
            # tarfile keeps every header that it has read: gigabytes for millions of photos.
            archive.members.clear()  # type: ignore[attr-defined]
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            if member.isdir() or any(part.startswith(".") and part != ".." for part in parts):
                continue
            if not parts or not is_photo(parts[-1]):
                ignored[extension(parts[-1] if parts else "")] += 1
                continue
            absolute = member.name.startswith("/")
            path = "/" * absolute + "/".join(parts)
            yield path, member, _refusal(member, absolute or ".." in parts, end)
        # tarfile takes a damaged header for the end of the archive. The true end is a block of zeros or the file's.
        with root.open("rb") as file:
            file.seek(archive.offset)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise SourceError(f"{root} is damaged at byte {archive.offset:,} of {end:,}: fetch it again")


def _refusal(member: tarfile.TarInfo, outside: bool, end: int) -> int:
    if outside:
        return _OUTSIDE
    if member.issym() or member.islnk():
        return _LINK
    if not member.isfile():
        return _SPECIAL
    if member.issparse():
        return _SPARSE
    if member.offset_data + member.size > end:
        return _CUT_OFF
    return _TOO_LARGE if member.size > MAX_FILE_BYTES else _READABLE
