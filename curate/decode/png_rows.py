"""Large PNGs (ISO/IEC 15948) scaled down as they are read: bands of rows, so that memory does not depend on the height.

The deflate stream is inflated band by band. Each band becomes a small PNG of its own, whose first row is the unfiltered
last row of the band before, since filters refer to the row above; a PNG library then undoes the filters. As filters
work on bytes, and on the byte one pixel before, the small PNG has any colour type of as many bytes per pixel.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import imagecodecs
import numpy as np

from curate.decode.raster import Pixels, check_size
from curate.errors import DecodeError

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE, _GREY_ALPHA, _RGBA = 3, 4, 6
_CARRIERS = {1: (8, 0), 2: (16, 0), 3: (8, 2), 4: (8, 6), 6: (16, 2), 8: (16, 6)}
"""Bytes per pixel -> bit depth and colour type of a PNG with as many."""
_BAND_BYTES = 4 << 20


@dataclass(frozen=True)
class PngLayout:
    """What the chunks before the pixels say.

    Attributes:
        width, height: px.
        depth, colour: bit depth and colour type of IHDR.
        palette: uint8 (256, 4) RGBA, of colour type 3.
        transparent: the sample values that are transparent, of types without alpha; None where there are none.
    """

    width: int
    height: int
    depth: int
    colour: int
    palette: Pixels | None = None
    transparent: tuple[int, ...] | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of an unfiltered row."""
        return (self.width * self.depth * _CHANNELS[self.colour] + 7) // 8

    @property
    def pixel_bytes(self) -> int:
        """Bytes from a byte to the one that filters call the left one."""
        return max(1, self.depth * _CHANNELS[self.colour] // 8)


def layout_of(header: bytes, palette: bytes, transparency: bytes) -> PngLayout:
    """Parse the bodies of IHDR, PLTE and tRNS. Raises DecodeError for values that the standard forbids."""
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    allowed = {0: (1, 2, 4, 8, 16), 3: (1, 2, 4, 8)}.get(colour, (8, 16))
    if colour not in _CHANNELS or depth not in allowed or (colour == _PALETTE and (not palette or len(palette) % 3)):
        raise DecodeError("corrupt data")
    colours = None
    transparent = None
    if colour == _PALETTE:
        colours = np.zeros((256, 4), np.uint8)
        colours[:, 3] = 255
        entries = np.frombuffer(palette, np.uint8).reshape(-1, 3)[:256]
        colours[: len(entries), :3] = entries
        alpha = np.frombuffer(transparency, np.uint8)[:256]
        colours[: len(alpha), 3] = alpha
    elif transparency and colour in (0, 2):
        count = _CHANNELS[colour]
        if len(transparency) < 2 * count:
            raise DecodeError("corrupt data")
        transparent = struct.unpack(f">{count}H", transparency[: 2 * count])
    return PngLayout(width, height, depth, colour, colours, transparent)


def read_shrunk(parts: Iterator[memoryview], layout: PngLayout, factor: int, max_pixels: int) -> Pixels:
    """Read a PNG without interlace at 1 / `factor` of its size: each pixel is the mean of factor x factor ones.

    Args:
        parts: the bodies of its IDAT chunks.
        layout: its layout.
        factor: at least 2; the size is rounded up.
        max_pixels: limit on the pixels of the result.

    Returns:
        uint8 (h, w) grey, (h, w, 3) or, with transparency, (h, w, 4); the high byte of 16-bit samples.

    Raises DecodeError: "truncated", "corrupt data", or "too many pixels".
    """
    height, width = -(-layout.height // factor), -(-layout.width // factor)
    check_size(width, height, max_pixels)
    rows = max(1, _BAND_BYTES // (layout.row_bytes * factor)) * factor
    shrunk, done = None, 0
    for band in _unfiltered(_inflated(parts, layout, rows), layout):
        small = _shrunk(_samples(band, layout), factor)
        if shrunk is None:
            shrunk = np.empty((height, *small.shape[1:]), np.uint8)
        shrunk[done : done + len(small)] = small
        done += len(small)
    assert shrunk is not None
    return shrunk


def _inflated(parts: Iterator[memoryview], layout: PngLayout, rows: int) -> Iterator[bytes]:
    """Yield the filtered rows, each after the byte of its filter, in bands of `rows` rows."""
    stream, pending, left = zlib.decompressobj(), b"", layout.height
    while left:
        size = min(rows, left) * (1 + layout.row_bytes)
        band = bytearray()
        while len(band) < size:
            if not pending:
                part = next(parts, None)
                if part is None or stream.eof:
                    raise DecodeError("truncated" if not stream.eof else "corrupt data")
                pending = bytes(part)
            try:
                band += stream.decompress(pending, size - len(band))
            except zlib.error as error:
                raise DecodeError("corrupt data") from error
            pending = stream.unconsumed_tail
        left -= min(rows, left)
        yield bytes(band)
    _require_end(stream, pending, parts)


def _require_end(stream: "zlib._Decompress", pending: bytes, parts: Iterator[memoryview]) -> None:
    """Read the checksum of the stream, which zlib compares. Raises DecodeError where it is missing or differs."""
    try:
        for part in (pending, *parts):
            if stream.eof:
                return
            if stream.decompress(bytes(part), 1):  # bytes beyond the last row
                return
    except zlib.error as error:
        raise DecodeError("corrupt data") from error
    if not stream.eof:
        raise DecodeError("truncated")


def _unfiltered(bands: Iterator[bytes], layout: PngLayout) -> Iterator[Pixels]:
    """Undo the filters: bands uint8 (rows, row_bytes)."""
    depth, colour = _CARRIERS[layout.pixel_bytes]
    # libspng, the faster one, does not return all types of 16 bits.
    decoder = imagecodecs.png_decode if depth == 16 else imagecodecs.spng_decode
    width = layout.row_bytes // layout.pixel_bytes
    above = bytes(layout.row_bytes)
    for band in bands:
        data = b"\0" + above + band  # the row above, with the filter "none"
        count = len(band) // (1 + layout.row_bytes)
        try:
            pixels = decoder(_png(width, count + 1, depth, colour, data))
        except (imagecodecs.SpngError, imagecodecs.PngError) as error:
            raise DecodeError("corrupt data") from error
        if depth == 16:
            pixels = pixels.astype(">u2")
        raw = np.ascontiguousarray(pixels).reshape(count + 1, -1).view(np.uint8)
        above = raw[-1].tobytes()
        yield raw[1:]


def _png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", imagecodecs.zlib_encode(data, level=0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
        for name, body in chunks
    )


def _samples(band: Pixels, layout: PngLayout) -> Pixels:
    """Rows as bytes -> uint8 (rows, W), (rows, W, 3) or (rows, W, 4)."""
    channels = _CHANNELS[layout.colour]
    if layout.depth == 16:
        values = band.view(">u2").reshape(len(band), layout.width, channels)
    elif layout.depth == 8:
        values = band.reshape(len(band), layout.width, channels)
    else:
        bits = np.unpackbits(band, axis=1)[:, : layout.width * layout.depth].reshape(len(band), layout.width, -1)
        values = np.packbits(bits, axis=2) >> (8 - layout.depth)
    if layout.palette is not None:
        colours = layout.palette[values[..., 0]]
        return np.asarray(colours if layout.palette[:, 3].min() < 255 else colours[..., :3], np.uint8)
    opaque = None if layout.transparent is None else (values != np.array(layout.transparent)).any(2)
    samples = (values >> 8).astype(np.uint8) if layout.depth == 16 else values
    if layout.depth < 8:
        samples = samples * np.uint8(255 // ((1 << layout.depth) - 1))
    if layout.colour == _GREY_ALPHA:
        samples = samples[..., [0, 0, 0, 1]]
    if opaque is not None:
        colours = samples if channels == 3 else samples.repeat(3, 2)
        return np.concatenate([colours, opaque[..., None].astype(np.uint8) * 255], 2)
    return samples[..., 0] if samples.shape[2] == 1 else samples


def _shrunk(samples: Pixels, factor: int) -> Pixels:
    """Means of factor x factor px; transparent px do not count to the colour of their mean."""
    height, width = samples.shape[:2]
    missing = -height % factor, -width % factor
    if any(missing):
        samples = np.asarray(cv2.copyMakeBorder(samples, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE), np.uint8)
    size = samples.shape[1] // factor, samples.shape[0] // factor
    if samples.ndim == 3 and samples.shape[2] == 4:
        alpha = samples[..., 3:].astype(np.float32)
        weighted = cv2.resize(samples[..., :3] * alpha, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 3)
        mean = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 1)
        colours = weighted / np.maximum(mean, 1e-3)
        return np.asarray(np.rint(np.concatenate([colours, mean], 2)).clip(0, 255), np.uint8)
    return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_AREA), np.uint8)
