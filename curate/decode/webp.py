"""WebP: stills by libwebp (imagecodecs), without the canvases that Pillow keeps for animations; those by Pillow."""

import imagecodecs

from curate.decode import pillow
from curate.decode.orientation import exif_orientation, xmp_orientation
from curate.decode.raster import Raster, check_size
from curate.errors import DecodeError

MAX_CHUNKS = 65_536
"""Chunks of a file; stills have up to 7."""
_ANIMATION = 0x02  # flag of VP8X


def read(data: bytes, max_pixels: int) -> Raster:
    """Read a WebP; of an animation, its first frame. Raises DecodeError, see `curate.decode.photo.decode`."""
    chunks = _chunks(data)
    extended = chunks.get(b"VP8X", b"")
    if extended and extended[0] & _ANIMATION:
        width, height = (int.from_bytes(extended[at : at + 3], "little") + 1 for at in (4, 7))
        check_size(width, height, max_pixels)
        if 2 * width * height > max_pixels:  # Pillow holds 16 bytes a pixel of the canvas
            raise DecodeError(f"too many pixels: {width}x{height}, animated")
        return pillow.read(data, max_pixels)
    check_size(*_size(chunks), max_pixels)
    try:
        pixels = imagecodecs.webp_decode(data)
    except imagecodecs.WebpError as error:
        declared = int.from_bytes(data[4:8], "little") + 8
        raise DecodeError("truncated" if len(data) < declared else "corrupt data") from error
    exif = chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    orientation = exif_orientation(exif) if exif else xmp_orientation(chunks.get(b"XMP ", b""))
    return Raster(pixels, "WEBP", orientation, chunks.get(b"ICCP") or None)


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The first 16 bytes of the first chunk of each name, all bytes of metadata. Raises DecodeError."""
    chunks: dict[bytes, bytes] = {}
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return chunks
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        kept = size if name in (b"EXIF", b"XMP ", b"ICCP") else 16
        chunks.setdefault(name, data[at + 8 : at + 8 + kept])
        at += 8 + size + size % 2
    raise DecodeError(f"too much work: more than {MAX_CHUNKS} chunks")


def _size(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    """Width and height of the bitstream of a still. Raises DecodeError where there is none."""
    lossless, lossy = chunks.get(b"VP8L", b""), chunks.get(b"VP8 ", b"")
    if len(lossless) >= 5:
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(lossy) >= 10:
        width, height = (int.from_bytes(lossy[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        return width, height
    raise DecodeError("truncated")
