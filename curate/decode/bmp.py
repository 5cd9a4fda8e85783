"""BMP by Pillow, whose decoder of run lengths is slow."""

from curate.decode import pillow
from curate.decode.raster import Raster
from curate.errors import DecodeError

MAX_RUN_BYTES = 1_000_000
MAX_RUN_PIXELS = 16_000_000
"""Limits on files with run lengths, which are palettes of drawings, not photos."""
_RUN_LENGTHS = (1, 2)  # compression: RLE8, RLE4


def read(data: bytes, max_pixels: int) -> Raster:
    """Read a BMP. Raises DecodeError, see `curate.decode.photo.decode`."""
    if len(data) >= 34 and int.from_bytes(data[30:34], "little") in _RUN_LENGTHS:
        width, height = (abs(int.from_bytes(data[at : at + 4], "little", signed=True)) for at in (18, 22))
        if len(data) > MAX_RUN_BYTES or width * height > MAX_RUN_PIXELS:
            raise DecodeError(f"too much work: run lengths of {width}x{height}")
    return pillow.read(data, max_pixels)
