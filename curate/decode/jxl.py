"""JPEG XL (ISO/IEC 18181) by libjxl (imagecodecs), which also applies the orientation."""

import imagecodecs
import numpy as np

from curate.decode.raster import Raster, check_size
from curate.decode.signatures import REQUIREMENTS
from curate.errors import DecodeError

CODESTREAM = b"\xff\x0a"

_SIZE_BITS = (9, 13, 18, 30)
_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width / height by the ratio field of the size header; 0 means that the width follows."""


def read(data: bytes, max_pixels: int) -> Raster:
    """Read a JPEG XL file; of an animation, its first frame. Raises DecodeError, see `curate.decode.photo.decode`."""
    check_size(*_size(data), max_pixels)
    if not imagecodecs.JPEGXL.available:
        raise DecodeError(REQUIREMENTS["JXL"])
    try:
        samples = imagecodecs.jpegxl_decode(data)
    except (imagecodecs.JpegxlError, RuntimeError, ValueError) as error:
        raise DecodeError("truncated" if "NEED_MORE_INPUT" in str(error) else "corrupt data") from error
    notes: tuple[str, ...] = ()
    if samples.ndim == 4:
        samples, notes = samples[0], ("animated: first frame",)
    if samples.dtype == np.uint16:
        samples, notes = (samples >> 8).astype(np.uint8), (*notes, "16 bit")
    if samples.dtype != np.uint8 or (samples.ndim == 3 and samples.shape[2] > 4):
        raise DecodeError(f"unsupported pixels: {samples.dtype}")
    if samples.ndim == 3 and samples.shape[2] == 2:  # grey with alpha
        samples = samples[..., [0, 0, 0, 1]]
    elif samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    return Raster(np.ascontiguousarray(samples), "JXL", notes=notes)


def _size(data: bytes) -> tuple[int, int]:
    """Width and height of the size header. Raises DecodeError where there is none."""
    stream = data if data.startswith(CODESTREAM) else _codestream(data)
    if len(stream) < 12:
        raise DecodeError("truncated")
    bits = _Bits(stream[2:])
    small = bits.read(1)
    height = 8 * (bits.read(5) + 1) if small else bits.read(_SIZE_BITS[bits.read(2)]) + 1
    ratio = bits.read(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return height * numerator // denominator, height
    return (8 * (bits.read(5) + 1) if small else bits.read(_SIZE_BITS[bits.read(2)]) + 1), height


def _codestream(data: bytes) -> bytes:
    """The first bytes of the codestream in a container: the content of its first jxlc or jxlp box."""
    at = 0
    while at + 8 <= len(data):
        size, name, header = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if name in (b"jxlc", b"jxlp"):
            start = at + header + (4 if name == b"jxlp" else 0)  # jxlp: a sequence number first
            return data[start : start + 16]
        if size < header:
            break
        at += size
    raise DecodeError("truncated")


class _Bits:
    """Reads unsigned numbers from bytes, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:16], "little")

    def read(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value
