"""The store `zip`: stored and deflated members of a zip, read by offset; nothing is unpacked or written."""

import calendar
import os
import stat
import struct
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from curate.errors import DecodeError, SourceError
from curate.sources.entry import MAX_FILE_BYTES
from curate.sources.stores.archive import TOO_LARGE, ArchiveStore, Member, pread_exactly

_LOCAL_HEADER = b"PK\x03\x04"
_EMPTY = b"PK\x05\x06"
_ENCRYPTED = 0x1
_UTF8 = 0x800


class ZipStore(ArchiveStore):
    """The photos of one zip.

    Encrypted members, links, other compression methods than deflate, and members whose path leads outside are refused.
    No member expands to more than its listed size, which is limited as for any file.
    """

    kind = "zip"

    @classmethod
    def accepts(cls, root: Path) -> bool:
        if not root.is_file():
            return False
        with root.open("rb") as file:
            return file.read(4) in (_LOCAL_HEADER, _EMPTY)

    def _members(self) -> Iterator[Member]:
        end = self.root.stat().st_size
        offsets, sizes, methods, checksums = array("q"), array("q"), array("B"), array("L")
        for info in self._directory():
            name = _name(info)  # may be empty in a damaged zip, for which `info.is_dir()` raises IndexError
            listed = None if name.endswith("/") else self._visible_path(name)
            if listed is not None:
                path, outside = listed
                yield Member(path, len(offsets), info.file_size, _mtime_ns(info), _refusal(info, end, outside), outside)
                offsets.append(info.header_offset)
                sizes.append(info.compress_size)
                methods.append(info.compress_type & 0xFF)
                checksums.append(info.CRC)
        self._offsets, self._compressed_sizes = np.asarray(offsets), np.asarray(sizes)
        self._methods, self._checksums = np.asarray(methods), np.asarray(checksums, np.uint32)

    def _directory(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self.root) as archive:
                return archive.infolist()
        except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, OverflowError) as error:
            raise SourceError(f"{self.root} cannot be read as a zip ({error}): fetch it again") from error

    def _extract(self, descriptor: int, location: int, size: int) -> bytes:
        offset = int(self._offsets[location])
        header = pread_exactly(descriptor, 30, offset, self.kind)
        if not header.startswith(_LOCAL_HEADER):
            raise DecodeError("cannot be read: the zip's directory points to no member")
        lengths: tuple[int, int] = struct.unpack("<HH", header[26:])  # of name and extra field
        data = pread_exactly(
            descriptor, int(self._compressed_sizes[location]), offset + len(header) + sum(lengths), self.kind
        )
        if self._methods[location] == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
            except zlib.error as error:
                raise DecodeError(f"cannot be read: zip member is damaged ({error})") from error
        if len(data) != size or zlib.crc32(data) != self._checksums[location]:
            raise DecodeError("cannot be read: zip member is damaged (size or checksum differs)")
        return data


def _name(info: zipfile.ZipInfo) -> str:
    """Return a member's name. Without the UTF-8 flag zipfile decodes it as code page 437; most tools write UTF-8."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return os.fsdecode(info.filename.encode("cp437"))
    except UnicodeEncodeError:
        return info.filename


def _refusal(info: zipfile.ZipInfo, end: int, outside: bool) -> str | None:
    if outside:
        return "zip member outside the zip's own folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "zip member is a link"
    if info.flag_bits & _ENCRYPTED:
        return "zip member is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"zip member is compressed by method {info.compress_type}, which is not supported"
    if info.header_offset + info.compress_size > end:
        return "cut off: the zip ends before this member does"
    return TOO_LARGE if max(info.file_size, info.compress_size) > MAX_FILE_BYTES else None


def _mtime_ns(info: zipfile.ZipInfo) -> int:
    """The time of the last modification, taken as UTC; 0 if it is no date."""
    try:
        return calendar.timegm(info.date_time) * 10**9
    except ValueError:
        return 0
