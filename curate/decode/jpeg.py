"""JPEG (ITU-T T.81) of one or three channels by simplejpeg (libjpeg-turbo), CMYK and unusual kinds by Pillow."""

import re
import struct
from dataclasses import dataclass, field

import simplejpeg

from curate.decode import pillow
from curate.decode.colour import MAX_PROFILE_BYTES
from curate.decode.orientation import exif_orientation, xmp_orientation
from curate.decode.raster import Raster, check_size, shrink_factor
from curate.errors import DecodeError

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
MAX_SHRUNK = 16
"""Largest photo that is decoded scaled down, in units of the limit."""
MAX_SEGMENTS = 65_536
"""Segments of a file; photos have 10, with depth maps and other large metadata up to some thousands."""
MAX_SCANS = 16
"""Scans of a file of any size; encoders write up to 12."""
MAX_SCANNED_PIXELS = 1_000_000_000
"""Limit on pixels x scans of a file of more scans: each scan visits every pixel, whatever few bytes it has."""
MAX_COEFFICIENT_BYTES = 8
"""Limit on the coefficients of a file of several scans, in bytes per pixel of the limit; 3 a pixel with 4:2:0."""
_END_OF_IMAGE = b"\xff\xd9"
_FILL = re.compile(rb"\xff*")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker between or behind the entropy-coded data of scans."""

_UNSUPPORTED = re.compile("subsampling|precision|process|SOF|arithmetic|colorspace", re.IGNORECASE)
"""Matches simplejpeg's messages about intact files that it does not support; all other messages mean damage."""


@dataclass(slots=True)
class _Header:
    width: int = 0
    height: int = 0
    channels: int = 0
    exif: bytes = b""
    xmp: bytes = b""
    icc: bytes = b""
    single_scan: bool = False  # baseline, and the first scan holds all channels, so that no scan follows it
    coefficients: float = 0.0  # bytes per pixel of the coefficients, which the decoder keeps unless there is one scan
    scan: int = 0  # offset of the first scan
    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)  # low frequencies of each quantisation table
    luma_table: int = 0  # that of the first channel

    @property
    def step(self) -> float | None:
        """See `curate.decode.photo.Decoded.jpeg_step`."""
        table = self.tables.get(self.luma_table)
        return None if table is None else sum(table) / len(table)


def read(data: bytes, max_pixels: int, shrink: bool = False) -> Raster:
    """Read a JPEG; with `shrink`, one over the limit is scaled down as it is decoded.

    Raises DecodeError, see `curate.decode.photo.decode`.
    """
    header = _header(data)
    factor = _shrink(header, max_pixels) if shrink and header.channels in (1, 3) else 1
    width, height = (-(-side // factor) for side in (header.width, header.height))
    check_size(*((header.width, header.height) if factor == 1 else (width, height)), max_pixels)
    _check_work(data, header, max_pixels)
    if header.channels not in (1, 3):
        return pillow.read(data, max_pixels)
    colour_space = "GRAY" if header.channels == 1 else "RGB"
    notes: tuple[str, ...] = ()
    try:
        # simplejpeg is strict: libjpeg would fill missing data with grey and only warn.
        pixels = simplejpeg.decode_jpeg(data, colour_space, min_height=height, min_width=width)
    except MemoryError as error:
        raise DecodeError(f"too many pixels: {header.width}x{header.height}, memory does not hold them") from error
    except ValueError as error:
        repaired = _repair(data, header, str(error))
        if repaired is None:
            if _UNSUPPORTED.search(str(error)):
                check_size(header.width, header.height, max_pixels)
                return pillow.read(data, max_pixels)
            raise DecodeError(_reason(data, str(error))) from error
        try:
            pixels = simplejpeg.decode_jpeg(repaired[0], colour_space, min_height=height, min_width=width)
        except ValueError:
            raise DecodeError(_reason(data, str(error))) from error
        notes = (repaired[1],)
    if colour_space == "GRAY":
        pixels = pixels.reshape(pixels.shape[:2])
    orientation = exif_orientation(header.exif) if header.exif else xmp_orientation(header.xmp)
    return Raster(pixels, "JPEG", orientation, header.icc or None, notes, factor, header.step)


def _shrink(header: _Header, max_pixels: int) -> int:
    """Return the factor 1, 2, 4 or 8 by which a photo must be scaled down to the limit; 1 where none is enough.

    A baseline file may have MAX_SHRUNK times `max_pixels`: it is decoded line by line. The decoder keeps the
    coefficients of all others, progressive ones above all, in memory: those may have MAX_COEFFICIENT_BYTES.
    """
    pixels = header.width * header.height
    if pixels > MAX_SHRUNK * max_pixels or _exceeds_memory(header, max_pixels):
        return 1
    return shrink_factor(header.width, header.height, max_pixels)


def _exceeds_memory(header: _Header, max_pixels: int) -> bool:
    """Whether the coefficients that the decoder keeps exceed the limit; it keeps none of a single scan."""
    needed = header.coefficients * header.width * header.height
    if header.channels == 4:
        needed *= 2  # Pillow holds the samples twice beside them
    return not header.single_scan and needed > MAX_COEFFICIENT_BYTES * max_pixels


def _check_work(data: bytes, header: _Header, max_pixels: int) -> None:
    """Raise DecodeError where the scans of a small file would take seconds, or its coefficients too much memory."""
    if _exceeds_memory(header, max_pixels):
        raise DecodeError(f"too many pixels: {header.width}x{header.height}, progressive")
    # Of a baseline file whose first scan holds all channels, the decoder reads no other. The count is cheap, and never
    # less than the number of scans: thumbnails have scans too.
    if header.single_scan or data.count(b"\xff\xda", header.scan) <= MAX_SCANS:
        return
    scans = _count_scans(data, header.scan)
    if scans > MAX_SCANS and scans * header.width * header.height > MAX_SCANNED_PIXELS:
        raise DecodeError(f"too much work: {scans} scans of {header.width}x{header.height}")


def _count_scans(data: bytes, at: int) -> int:
    """Count the scans from the first one, at `at`, to the end mark."""
    scans = 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or found[0] == _END_OF_IMAGE:
            return scans
        scans += found[0] == b"\xff\xda"
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    raise DecodeError(f"too much work: more than {MAX_SEGMENTS} segments")


def _header(data: bytes) -> _Header:
    """Parse the segments up to the first scan."""
    header, at = _Header(), 2
    for _ in range(MAX_SEGMENTS):
        if at + 4 > len(data):
            raise DecodeError("truncated")
        if data[at] != 0xFF:
            raise DecodeError("corrupt data")
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes
            at = _FILL.match(data, at).end() - 1  # type: ignore[union-attr]  # matches everywhere
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # a marker without a segment
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if len(segment) != length - 2:
            raise DecodeError("truncated")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(segment) >= 6:  # SOFn
            _, header.height, header.width, header.channels = struct.unpack(">BHHB", segment[:6])
            header.single_scan = marker in (0xC0, 0xC1)
            header.coefficients = _coefficient_bytes(segment[6:])
            header.luma_table = segment[8] if len(segment) > 8 else 0
        elif marker == 0xDB:  # DQT
            header.tables |= _low_frequencies(segment)
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0") and not header.exif:
            header.exif = segment[6:]
        elif marker == 0xE1 and segment.startswith(_XMP) and not header.xmp:
            header.xmp = segment[len(_XMP) :]
        elif marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0"):
            if len(header.icc) <= MAX_PROFILE_BYTES:
                header.icc += segment[14:]
        elif marker == 0xDA:  # SOS
            if not header.channels:
                raise DecodeError("corrupt data")
            header.single_scan = header.single_scan and segment[:1] == bytes([header.channels])
            header.scan = at
            return header
        elif marker == 0xD9:  # EOI
            raise DecodeError("corrupt data")
        at += 2 + length
    raise DecodeError(f"too much work: more than {MAX_SEGMENTS} segments")


def _low_frequencies(segment: bytes) -> dict[int, tuple[int, ...]]:
    """The steps 1 to 5 in zigzag order, the lowest frequencies but the mean, of each table of a DQT segment."""
    tables, at = {}, 0
    while at < len(segment):
        width = 2 if segment[at] >> 4 else 1
        steps = segment[at + 1 : at + 1 + 64 * width]
        if len(steps) < 64 * width:
            break  # the decoder judges the damage
        tables[segment[at] & 15] = tuple(int.from_bytes(steps[k * width : (k + 1) * width], "big") for k in range(1, 6))
        at += 1 + 64 * width
    return tables


def _coefficient_bytes(components: bytes) -> float:
    """The bytes of coefficients per pixel, 2 for each sample, by the sampling factors of a frame header."""
    factors = [(byte >> 4, byte & 15) for byte in components[1::3]]
    largest = max((h for h, _ in factors), default=0) * max((v for _, v in factors), default=0)
    return 2 * sum(h * v for h, v in factors) / largest if largest else 0.0


def _reason(data: bytes, message: str) -> str:
    """Classify damage: "corrupt data" where the file has its end mark, otherwise "truncated"."""
    ended = data.rstrip(b"\0").endswith(_END_OF_IMAGE)
    return "corrupt data" if ended and "Premature" not in message else "truncated"


def _repair(data: bytes, header: _Header, message: str) -> tuple[bytes, str] | None:
    """Correct the end of a file that holds all its pixels: (bytes, note); None where that is not possible.

    Only for a single baseline scan, where the decoder notices every missing bit: a progressive file that lacks its
    last scans would decode without an error, only coarser.
    """
    if not header.single_scan:
        return None
    if message == "Premature end of JPEG file":
        return data + _END_OF_IMAGE, "end mark missing"
    surplus = re.fullmatch(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9", message)
    end = data.rfind(_END_OF_IMAGE)
    if surplus and end > 0:
        return data[: end - int(surplus[1])] + _END_OF_IMAGE, "extra bytes before the end"
    return None
