"""Checksums of a Parquet file, in the file itself, so that they are written, moved and replaced with it.

Every byte is covered:

- The bytes before the footer are divided into blocks of 64 KiB. The footer holds the CRC-32 of each (key
  `swapset.blocks`: base64 of little-endian 32-bit integers), unlike Parquet's page checksums also of page headers,
  dictionaries and the space between pages. A reader checks the blocks that it reads, once each.
- The footer holds the SHA-256 of itself (key `swapset.digest`), computed with zeros in the place of the value. Since
  it includes the checksums of the blocks, it also identifies the contents of the file (see `curate.lineage`).

Page checksums are written too, for other readers. To any Parquet reader the file is an ordinary one.
"""

import base64
import hashlib
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.locations import as_path
from manifests.open_file import LocalFile, OpenFile, open_file

BLOCK = 1 << 16
"""Bytes of a block."""

WHOLE = 8 << 20
"""A file of at most so many bytes is read as a whole: that is faster than a call of Python for each column."""

BLOCKS = "swapset.blocks"
DIGEST = "swapset.digest"

_MAGIC = b"PAR1"
_TAIL = 8  # bytes at the end: the footer's length, little-endian, and the magic number
_UNSET = b"0" * 64
# In the footer's Thrift encoding a value follows its key: the type of the next field, the length, the text.
_MARKER = DIGEST.encode() + b"\x18" + bytes([len(_UNSET)])
_VALUE = re.compile(re.escape(_MARKER) + b"([0-9a-f]{64})")


class ChecksumError(ValueError):
    """Bytes of a file are not those that were written; the message says which."""


class NoChecksumError(ChecksumError):
    """A file has no checksums: it is of another version, of another program, or damaged in this place."""


@contextmanager
def checked_writer(path: Path, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
    """Write the Parquet file `path` with checksums; the file is complete when the block ends without an error.

    options: of `pyarrow.parquet.ParquetWriter`.
    """
    with open(path, "wb") as file:
        sink = _BlockSink(file)
        with pq.ParquetWriter(sink, schema, write_page_checksum=True, **options) as writer:
            yield writer
            # Row groups are written when they are added, so that only the footer is missing now.
            writer.add_key_value_metadata({BLOCKS: sink.checksums(), DIGEST: _UNSET.decode()})
            covered = sink.size
    start, footer = _read_footer(LocalFile(path))
    with open(path, "r+b") as file:
        marker = footer.rfind(_MARKER + _UNSET)
        if start != covered or marker < 0:
            raise RuntimeError(f"{path}: pyarrow {pa.__version__} places the footer in an unknown way")
        file.seek(start + marker + len(_MARKER))
        file.write(hashlib.sha256(footer).hexdigest().encode())


class CheckedFile(io.RawIOBase):
    """A Parquet file that is compared with its checksums while it is read. Not for use by several threads at once.

    Attributes:
        metadata: the footer.
        digest: SHA-256 that identifies the contents, 64 hex digits.

    Raises OSError where the file cannot be read, ChecksumError where it differs from what was written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file: OpenFile | None = None
        self._file = open_file(as_path(path))
        self._start, footer = _read_footer(self._file)
        found = _VALUE.search(footer, max(0, footer.rfind(_MARKER)))
        if found is None:
            raise NoChecksumError("its footer has no checksum, as if another program had written it")
        self.digest = found[1].decode()
        if hashlib.sha256(footer[: found.start(1)] + _UNSET + footer[found.end(1) :]).hexdigest() != self.digest:
            raise ChecksumError("its footer differs from its checksum")
        self.metadata: pq.FileMetaData = pq.read_metadata(pa.BufferReader(_MAGIC + footer))
        self._checksums = np.frombuffer(base64.b64decode((self.metadata.metadata or {})[BLOCKS.encode()]), "<u4")
        self._checked = np.zeros(len(self._checksums), bool)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._opened.size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes from before the footer, and compare the blocks that hold them with their checksums."""
        begin = self._position
        end = self._start if size < 0 else min(begin + size, self._start)
        if begin >= end:
            return b""
        first, last = begin // BLOCK, (end - 1) // BLOCK
        if self._checked[first : last + 1].all():
            data = self._opened.pread(end - begin, begin)
        else:
            blocks = self._opened.pread(min((last + 1) * BLOCK, self._start) - first * BLOCK, first * BLOCK)
            self._check(blocks, first, last)
            data = blocks[begin - first * BLOCK : end - first * BLOCK]
        self._position = begin + len(data)
        return data

    def source(self) -> "CheckedFile | pa.BufferReader":
        """Return what pyarrow reads columns from: the contents, compared already, or this file where it is large."""
        if self._start > WHOLE:
            return self
        self.seek(0)
        return pa.BufferReader(self.read())

    def check(self, step: int = 1 << 24) -> None:
        """Read the whole file."""
        self.seek(0)
        while self.read(step):
            pass

    def close(self) -> None:
        if not self.closed and self._file is not None:
            self._file.close()
        super().close()

    @property
    def _opened(self) -> OpenFile:
        assert self._file is not None
        return self._file

    def _check(self, data: bytes, first: int, last: int) -> None:
        view = memoryview(data)
        for block in range(first, last + 1):
            start = (block - first) * BLOCK
            if zlib.crc32(view[start : start + BLOCK]) != self._checksums[block]:
                begin = block * BLOCK
                raise ChecksumError(
                    f"bytes {begin} to {min(begin + BLOCK, self._start) - 1} differ from their checksum"
                )
        self._checked[first : last + 1] = True


class _BlockSink(io.RawIOBase):
    """Passes bytes on to a file and computes the CRC-32 of each block."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self.size = 0
        self._file = file
        self._finished: list[int] = []
        self._crc = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        position = 0
        while position < len(view):
            part = view[position : position + BLOCK - self.size % BLOCK]
            self._crc = zlib.crc32(part, self._crc)
            self.size += len(part)
            position += len(part)
            if self.size % BLOCK == 0:
                self._finished.append(self._crc)
                self._crc = 0
        return len(view)

    def checksums(self) -> str:
        """Return the value of BLOCKS for the bytes written so far."""
        crcs = [*self._finished, *([self._crc] if self.size % BLOCK else [])]
        return base64.b64encode(np.array(crcs, "<u4").tobytes()).decode()


def _read_footer(file: OpenFile) -> tuple[int, bytes]:
    """Return the offset of a Parquet file's footer, and the bytes from there to the end of the file."""
    size = file.size
    first = max(0, size - BLOCK)  # a request to an object store takes longer than the bytes of a block
    end = file.pread(size - first, first)
    tail = end[-_TAIL:]
    start = size - _TAIL - int.from_bytes(tail[:4], "little")
    if len(tail) < _TAIL or tail[4:] != _MAGIC or start < len(_MAGIC):
        raise ChecksumError("it does not end as a Parquet file")
    footer = end[start - first :] if start >= first else file.pread(first - start, start) + end
    if len(footer) != size - start:
        raise ChecksumError("it changed while it was read")
    return start, footer
