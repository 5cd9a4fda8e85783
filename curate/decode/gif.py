"""GIF by Pillow, which sees the first frame alone: it reads the blocks between frames byte by byte."""

import re

from curate.decode import pillow
from curate.decode.raster import Raster
from curate.errors import DecodeError

MAX_BLOCKS = 1_000_000
"""Blocks of up to 255 bytes that are skipped; a frame of 50 megapixels that hardly compresses has 200,000."""
_BLOCK_START = re.compile(rb"[!,;]")
_CONTROL = 0xF9  # label of the extension with the transparent colour of the next frame


def read(data: bytes, max_pixels: int) -> Raster:
    """Read a GIF; of an animation, its first frame. Raises DecodeError, see `curate.decode.photo.decode`."""
    if len(data) < 13:
        raise DecodeError("truncated")
    blocks = _Blocks(data)
    start = at = 13 + _table_bytes(data[10])
    control = b""
    while (at := blocks.next_block(at)) >= 0 and data[at : at + 1] == b"!":
        end = blocks.after(at + 2)
        if data[at + 1 : at + 2] == bytes([_CONTROL]):
            control = data[at:end]
        at = end
    if at < 0 or data[at : at + 1] == b";":
        raise DecodeError("truncated" if at < 0 else "corrupt data")
    end = blocks.after_frame(at)
    raster = pillow.read(data[:start] + control + data[at:end] + b";", max_pixels)
    while (end := blocks.next_block(end)) >= 0 and data[end : end + 1] == b"!":
        end = blocks.after(end + 2)
    if end >= 0 and data[end : end + 1] == b",":
        raster.notes = (*raster.notes, "animated: first frame")
    return raster


def _table_bytes(flags: int) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


class _Blocks:
    """Finds the ends of the blocks of a file, of at most MAX_BLOCKS."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0

    def next_block(self, at: int) -> int:
        """Offset of the next extension, frame or end mark; -1 where there is none. Other bytes are skipped."""
        self._add()
        found = _BLOCK_START.search(self.data, at)
        return found.start() if found else -1

    def after(self, at: int) -> int:
        """Offset after the sub-blocks that begin at `at`; the end of a file that is cut off."""
        while at < len(self.data) and self.data[at]:
            self._add()
            at += 1 + self.data[at]
        return min(at + 1, len(self.data))

    def after_frame(self, at: int) -> int:
        """Offset after the frame at `at`."""
        flags = self.data[at + 9] if at + 9 < len(self.data) else 0
        return self.after(at + 10 + _table_bytes(flags) + 1)

    def _add(self) -> None:
        self.count += 1
        if self.count > MAX_BLOCKS:
            raise DecodeError(f"too much work: more than {MAX_BLOCKS} blocks")
