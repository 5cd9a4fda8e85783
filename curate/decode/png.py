"""PNG (ISO/IEC 15948): grey, RGB and RGBA of 8 bits by libspng (imagecodecs), every other kind by Pillow."""

import struct
import zlib
from dataclasses import dataclass, field

import imagecodecs

from curate.decode import pillow
from curate.decode.orientation import exif_orientation, is_raw_profile, raw_profile, xmp_orientation
from curate.decode.raster import Raster, check_size
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
_GREY, _RGB, _RGBA = 0, 2, 6  # colour types


@dataclass(slots=True)
class _Chunks:
    """The chunk types of a file, its EXIF block, and the (start, end) of the last IDAT chunk's type and body.

    `read`: (start, end) of the runs of chunks that decoders need.
    """

    types: set[bytes] = field(default_factory=set)
    read: list[tuple[int, int]] = field(default_factory=list)
    exif: bytes | None = None
    xmp: bytes | None = None
    last_idat: tuple[int, int] = (0, 0)


def read(data: bytes, max_pixels: int) -> Raster:
    """Read a PNG. Raises DecodeError, see `curate.decode.photo.decode`."""
    if len(data) < _HEADER_BYTES:
        raise DecodeError("truncated")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if data[12:16] != b"IHDR":
        raise DecodeError("corrupt data")
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
        if chunk_type == b"IDAT":
            chunks.last_idat = (at + 4, at + 8 + length)
        at += 12 + length
    return chunks
