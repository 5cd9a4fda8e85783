"""A plain tar read where it lies: members by offset, nothing unpacked, nothing written."""

import os
import tarfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from curate.errors import DecodeError, SourceError
from curate.sources.entry import MAX_FILE_BYTES, Entry, encode_name, extension, is_photo
from manifests.schema import NO_IDENTITY

Place = Callable[[str], tuple[str, str | None] | None]
"""A photo's path, less the folder that wraps everything, -> (identity, split); None where the layout has no place."""

_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"PK\x03\x04": "unzip",
}
_REFUSALS = (
    None,
    "tar member outside the tar's own folder",
    "tar member is a link",
    "tar member is not a regular file",
    "tar member is sparse",
    "cut off: the tar ends before this member does",
    f"larger than {MAX_FILE_BYTES >> 20} MiB",
)
_FINE, _ESCAPES, _LINK, _SPECIAL, _SPARSE, _CUT_OFF, _TOO_LARGE = range(len(_REFUSALS))


class TarSource:
    """The photos of one uncompressed tar. About 70 bytes of memory a photo hold where each one lies.

    The last of several members of one name is the photo, as it would be after unpacking; each earlier one is a
    refused entry whose image_id ends in %00 and its number, which no real name can. Members that point outside
    (absolute, or with "..") are refused entries of the identity "."; links, devices and sparse members are refused.
    """

    def __init__(self, kind: str, root: Path, place: Place, *, unwrap: bool = True) -> None:
        self.kind = kind
        self.root = root
        self._ignored = Counter[str]()
        status = root.stat()
        self._version = (status.st_size, status.st_mtime_ns)
        self._names = bytearray()  # every member's path, end to end
        ends, offsets, sizes, mtimes, refusals = array("q"), array("q"), array("q"), array("q"), array("B")
        wrapper = _Wrapper() if unwrap else None
        for path, member, refusal in _photo_members(root, self._ignored):
            self._names += os.fsencode(path)
            ends.append(len(self._names))
            offsets.append(member.offset_data)
            sizes.append(member.size)
            mtimes.append(int(member.mtime * 1e9))
            refusals.append(refusal)
            if wrapper and refusal != _ESCAPES:
                wrapper.see(path)
        self._ends, self._offsets, self._sizes = np.asarray(ends), np.asarray(offsets), np.asarray(sizes)
        self._mtimes, self._refusals = np.asarray(mtimes), np.asarray(refusals)
        self._place = place
        self._wrapped = wrapper.length if wrapper else 0
        self._index()

    def _index(self) -> None:
        """Sort the members by identity, keeping the tar's order inside each."""
        numbers: dict[str, int] = {}
        owners = array("i")
        for row in range(len(self._ends)):
            placed = self._placed(row)
            if placed is None:
                self._ignored[extension(self._path(row))] += 1
            owners.append(-1 if placed is None else numbers.setdefault(placed[0], len(numbers)))
        owner = np.asarray(owners, np.int32)
        self._order = np.argsort(owner, kind="stable")
        self._starts = np.searchsorted(owner[self._order], np.arange(len(numbers) + 1))
        self._numbers = {encode_name(os.fsencode(name)): number for name, number in numbers.items()}
        if not numbers:
            skipped = sum(self._ignored.values())
            raise SourceError(
                f"{self.root} holds no photo where a {self.kind} collection has them ({skipped:,} other files): "
                f"try --kind folder, or another --root"
            )

    def describe(self) -> str:
        return f"{self.root}: a tar of {len(self._ends):,} photos, {len(self._numbers):,} identities"

    def identities(self) -> list[str]:
        return sorted(self._numbers)

    def entries(self, identity: str) -> list[Entry]:
        number = self._numbers.get(identity)
        if number is None:
            return []
        rows = self._order[self._starts[number] : self._starts[number + 1]].tolist()
        last = {self._path(row): row for row in rows}
        copies = Counter[str]()
        entries = []
        for row in rows:
            path = self._path(row)
            image_id, refusal = encode_name(os.fsencode(path)), _REFUSALS[self._refusals[row]]
            if last[path] != row:
                copies[path] += 1
                image_id, refusal = f"{image_id}%00{copies[path]}", "duplicate: a later tar member has the same name"
            placed = self._placed(row)
            entries.append(
                Entry(
                    image_id,
                    identity,
                    int(self._sizes[row]),
                    int(self._mtimes[row]),
                    int(self._offsets[row]),
                    split=placed[1] if placed else None,
                    refusal=refusal,
                )
            )
        return sorted(entries, key=lambda entry: entry.image_id)

    def read(self, entry: Entry) -> bytes:
        if entry.refusal is not None:
            raise DecodeError(f"cannot be read: {entry.refusal}")
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

    def ignored(self) -> dict[str, int]:
        return dict(self._ignored)

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        return {}

    def _path(self, row: int) -> str:
        start = self._ends[row - 1] if row else 0
        return os.fsdecode(bytes(self._names[start : self._ends[row]]))

    def _placed(self, row: int) -> tuple[str, str | None] | None:
        if self._refusals[row] == _ESCAPES:
            return NO_IDENTITY, None
        return self._place(self._path(row)[self._wrapped :])


class _Wrapper:
    """Whether all photos lie at least two folders deep under one and the same folder, as `tar c photos/` gives."""

    def __init__(self) -> None:
        self.top: str | None = None
        self.alone = True

    def see(self, path: str) -> None:
        top, _, rest = path.partition("/")
        self.top = self.top or top
        self.alone = self.alone and top == self.top and "/" in rest

    @property
    def length(self) -> int:
        return len(self.top) + 1 if self.top and self.alone else 0


def require_plain_tar(root: Path) -> None:
    """Raise SourceError where the file at `root` is not an uncompressed tar."""
    with root.open("rb") as file:
        head = file.read(512)
    for magic, command in _COMPRESSED.items():
        if head.startswith(magic):
            raise SourceError(
                f"{root} is compressed, and photos are read by offset: decompress it first ({command} {root.name})"
            )
    if not tarfile.is_tarfile(root):
        raise SourceError(f"{root} is a file but not a tar: give a folder of photos or a plain .tar with --root")


def _photo_members(root: Path, ignored: Counter[str]) -> Iterator[tuple[str, tarfile.TarInfo, int]]:
    """Each member with a photo's name: path without "./", header, and its row of `_REFUSALS`."""
    end = root.stat().st_size
    try:
        archive = tarfile.open(root, "r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    except tarfile.ReadError as error:
        raise SourceError(f"{root} cannot be read as a tar ({error}): fetch it again") from error
    with archive:
        while True:
            try:
                member = archive.next()
            except tarfile.ReadError:  # the file ends inside the last member's data, which was reported as cut off
                return
            if member is None:
                break
            # tarfile remembers every header it has seen: gigabytes for millions of photos.
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
        # tarfile takes a damaged header for the end of the archive: the true end is a block of zeros, or the file's.
        with root.open("rb") as file:
            file.seek(archive.offset)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise SourceError(f"{root} is damaged at byte {archive.offset:,} of {end:,}: fetch it again")


def _refusal(member: tarfile.TarInfo, escapes: bool, end: int) -> int:
    if escapes:
        return _ESCAPES
    if member.issym() or member.islnk():
        return _LINK
    if not member.isfile():
        return _SPECIAL
    if member.issparse():
        return _SPARSE
    if member.offset_data + member.size > end:
        return _CUT_OFF
    return _TOO_LARGE if member.size > MAX_FILE_BYTES else _FINE
