"""TIFF by Pillow, after a look at the first directory: its numbers may ask for any memory."""

import struct

from curate.decode import pillow
from curate.decode.raster import Raster
from curate.errors import DecodeError

MAX_PIECES = 500_000
"""Strips or tiles of a photo; one row each of a photo of 50 megapixels is 1,000 to 50,000."""
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_OFFSETS = (273, 324)  # of strips, of tiles


def read(data: bytes, max_pixels: int) -> Raster:
    """Read a TIFF; of several images, the first. Raises DecodeError, see `curate.decode.photo.decode`."""
    fields = _fields(data)
    if sum(count * _TYPE_BYTES.get(kind, 1) for kind, count, _ in fields.values()) > len(data):
        raise DecodeError("corrupt data")
    pieces = max((fields[tag][1] for tag in _OFFSETS if tag in fields), default=0)
    if pieces > MAX_PIECES:
        raise DecodeError(f"too much work: {pieces} strips or tiles")
    width, length = (fields[tag][2] if tag in fields else 0 for tag in (_TILE_WIDTH, _TILE_LENGTH))
    if width * length > max_pixels:
        raise DecodeError(f"too many pixels: tiles of {width}x{length}")
    return pillow.read(data, max_pixels)


def _fields(data: bytes) -> dict[int, tuple[int, int, int]]:
    """Tag -> type, number of values and the value, where there is one, of the first directory; what is cut off is not.

    Values of 2 bytes are read as such in both byte orders, of more as 4 bytes.
    """
    order = ">" if data[:2] == b"MM" else "<"
    is_big = data[2:4] in (b"+\0", b"\0+")
    entry = struct.Struct(f"{order}HHQ" if is_big else f"{order}HHI")
    size, count_format = (20, "Q") if is_big else (12, "H")
    fields = {}
    try:
        (start,) = struct.unpack_from(f"{order}Q" if is_big else f"{order}I", data, 8 if is_big else 4)
        (count,) = struct.unpack_from(order + count_format, data, start)
        start += struct.calcsize(count_format)
        for at in range(start, start + size * min(count, 65_535), size):
            tag, kind, values = entry.unpack_from(data, at)
            (value,) = struct.unpack_from(f"{order}H" if kind == 3 else f"{order}I", data, at + entry.size)
            fields[tag] = kind, values, value
    except struct.error:
        pass
    return fields
