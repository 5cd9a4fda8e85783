"""PNG (ISO/IEC 15948): grey, RGB and RGBA of 8 bits by libspng (imagecodecs), every other kind by Pillow."""

import struct
import zlib
from dataclasses import dataclass, field

import imagecodecs

from curate.decode import pillow, png_rows
from curate.decode.colour import MAX_PROFILE_BYTES
from curate.decode.orientation import exif_orientation, is_raw_profile, raw_profile, xmp_orientation
from curate.decode.raster import Raster, check_size, shrink_factor
from curate.errors import DecodeError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 33  # signature and IHDR chunk
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
_MAX_TEXT = 1 << 20  # bytes of a text after inflation
MAX_CHUNKS = 65_536
"""Chunks of a file; encoders write IDAT chunks of 4 KiB and more."""
_DECODED_CHUNKS = {b"tRNS", b"iCCP", b"acTL"}
"""The ancillary chunks that decoders see. They would inflate texts of any size, and read others one by one."""
_BODIES = {b"IDAT", b"PLTE", b"tRNS", b"iCCP"}
MAX_SHRUNK = 4
MAX_SHRUNK_BYTES = 12
MAX_INFLATION = 50
MAX_ROWS_BYTES = 32_000_000
"""Limits on a photo that is read scaled down: its pixels, and the bytes of its rows, per pixel of the limit; the bytes
of its rows per byte of the file (photos have up to 10, drawings more); the bytes of the rows that become one."""
_GREY, _RGB, _RGBA = 0, 2, 6  # colour types


@dataclass(slots=True)
class _Chunks:
    """The chunk types of a file, its EXIF block, and the (start, end) of the last IDAT chunk's type and body.

    `read`: (start, end) of the runs of chunks that decoders need. `bodies`: (start, end) of the bodies of `_BODIES`.
    """

    types: set[bytes] = field(default_factory=set)
    read: list[tuple[int, int]] = field(default_factory=list)
    exif: bytes | None = None
    xmp: bytes | None = None
    last_idat: tuple[int, int] = (0, 0)
    bodies: dict[bytes, list[tuple[int, int]]] = field(default_factory=dict)


def read(data: bytes, max_pixels: int, shrink: bool = False) -> Raster:
    """Read a PNG; with `shrink`, one over the limit is scaled down as it is inflated, unless it is interlaced.

    Raises DecodeError, see `curate.decode.photo.decode`.
    """
    if len(data) < _HEADER_BYTES:
        raise DecodeError("truncated")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if data[12:16] != b"IHDR":
        raise DecodeError("corrupt data")
    factor = shrink_factor(width, height, max_pixels) if shrink and width and height else 1
    if factor > 1 and not data[28]:
        return _read_shrunk(data, factor, max_pixels)
    check_size(width, height, max_pixels)
    chunks = _chunks(data)
    if b"IDAT" not in chunks.types:
        raise DecodeError("truncated" if b"IEND" not in chunks.types else "corrupt data")
    # Decoders stop once they have all pixels, before the checksum of the chunk that holds the last ones.
    start, end = chunks.last_idat
    if zlib.crc32(memoryview(data)[start:end]) != int.from_bytes(data[end : end + 4], "big"):
        raise DecodeError("corrupt data")
    data = _without_other_chunks(data, chunks)
    if depth != 8 or colour not in (_GREY, _RGB, _RGBA) or chunks.types & {b"iCCP", b"tRNS", b"acTL"}:
        raster = pillow.read(data, max_pixels)
        if depth == 16 and "16 bit" not in raster.notes:
            raster.notes = (*raster.notes, "16 bit")
        raster.orientation = _orientation(chunks)
        return raster
    try:
        pixels = imagecodecs.spng_decode(data)
    except imagecodecs.SpngError as error:
        raise DecodeError("truncated" if "end of stream" in str(error) else "corrupt data") from error
    notes = () if b"IEND" in chunks.types else ("end mark missing",)
    return Raster(pixels, "PNG", _orientation(chunks), None, notes)


def _read_shrunk(data: bytes, factor: int, max_pixels: int) -> Raster:
    chunks = _chunks(data)
    view = memoryview(data)

    def bodies(name: bytes) -> list[memoryview]:
        return [view[start:end] for start, end in chunks.bodies.get(name, [])]

    layout = png_rows.layout_of(data[16:29], b"".join(bodies(b"PLTE")[:1]), b"".join(bodies(b"tRNS")[:1]))
    size = layout.row_bytes * layout.height
    if (
        layout.width * layout.height > MAX_SHRUNK * max_pixels
        or size > min(MAX_SHRUNK_BYTES * max_pixels, MAX_INFLATION * len(data))
        or layout.row_bytes * factor > MAX_ROWS_BYTES
    ):
        raise DecodeError(f"too many pixels: {layout.width}x{layout.height}")
    for start, end in chunks.bodies.get(b"IDAT", []):
        if zlib.crc32(view[start - 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise DecodeError("corrupt data")
    pixels = png_rows.read_shrunk(iter(bodies(b"IDAT")), layout, factor, max_pixels)
    notes = ("16 bit",) * (layout.depth == 16) + ("end mark missing",) * (b"IEND" not in chunks.types)
    profile = _profile(bytes(b"".join(bodies(b"iCCP")[:1])))
    return Raster(pixels, "PNG", _orientation(chunks), profile, notes, factor)


def _profile(body: bytes) -> bytes | None:
    """The ICC profile of an iCCP chunk, cut off where it is larger than any; None where there is none."""
    compressed = body.partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(compressed, MAX_PROFILE_BYTES + 1) or None
    except zlib.error:
        return None


def _orientation(chunks: _Chunks) -> int:
    return exif_orientation(chunks.exif) if chunks.exif else xmp_orientation(chunks.xmp or b"")


def _text(chunk_type: bytes, body: bytes) -> bytes:
    """Return the text of a tEXt, zTXt or iTXt chunk, cut off at `_MAX_TEXT`; b"" where it is damaged."""
    text = body.partition(b"\0")[2]
    compressed = chunk_type == b"zTXt"
    if chunk_type == b"iTXt":
        compressed = text[:1] == b"\1"
        text = text[2:].partition(b"\0")[2].partition(b"\0")[2]  # after the flags, language and translated keyword
    elif compressed:
        text = text[1:]
    if compressed:
        try:
            text = zlib.decompressobj().decompress(text, _MAX_TEXT)
        except zlib.error:
            return b""
    return text[:_MAX_TEXT]


def _without_other_chunks(data: bytes, chunks: _Chunks) -> bytes:
    """The file without the ancillary chunks that decoders need not see; the same bytes where there are none."""
    start, end = len(SIGNATURE), chunks.read[-1][1]
    if chunks.read == [(start, end)]:
        return data
    return b"".join([SIGNATURE, *(memoryview(data)[start:end] for start, end in chunks.read)])


def _chunks(data: bytes) -> _Chunks:
    chunks, at, count = _Chunks(), len(SIGNATURE), 0
    while at + 8 <= len(data):
        count += 1
        if count > MAX_CHUNKS:
            raise DecodeError(f"too much work: more than {MAX_CHUNKS} chunks")
        length, chunk_type = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        chunks.types.add(chunk_type)
        is_critical = not chunk_type[0] & 0x20
        if is_critical or chunk_type in _DECODED_CHUNKS:
            if chunks.read and chunks.read[-1][1] == at:
                chunks.read[-1] = (chunks.read[-1][0], at + 12 + length)
            else:
                chunks.read.append((at, at + 12 + length))
        if chunk_type == b"IEND":
            break
        if at + 12 + length > len(data):
            raise DecodeError("truncated")
        if chunk_type == b"eXIf":
            chunks.exif = data[at + 8 : at + 8 + length]
        if chunk_type in _TEXT_CHUNKS:
            body = memoryview(data)[at + 8 : at + 8 + length]
            keyword = bytes(body[:80]).partition(b"\0")[0]  # of at most 79 bytes
            if is_raw_profile(keyword) and chunks.exif is None:  # the first one: each costs time
                chunks.exif = raw_profile(_text(chunk_type, bytes(body)))
            elif keyword == _XMP and chunks.xmp is None:
                chunks.xmp = _text(chunk_type, bytes(body))
        if chunk_type in _BODIES:
            chunks.bodies.setdefault(chunk_type, []).append((at + 8, at + 8 + length))
        if chunk_type == b"IDAT":
            chunks.last_idat = (at + 4, at + 8 + length)
        at += 12 + length
    return chunks
