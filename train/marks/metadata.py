"""An encoded JPEG, PNG or WebP and an AIGC field -> the same file with it as XMP, no pixel touched; and back.

JPEG: an APP1 segment (Adobe XMP part 3); PNG: an iTXt chunk; WebP: an "XMP " chunk, for which a simple file becomes an
extended one. An XMP packet that is there keeps its other properties.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from train.errors import MarkError
from train.marks.xmp import aigc_fields, packet

Format = Literal["JPEG", "PNG", "WEBP"]
MIME: dict[Format, str] = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_XMP = b"XML:com.adobe.xmp\0"
_WEBP_HAS_XMP = 0x04
_WEBP_HAS_ALPHA = 0x10


@dataclass(frozen=True)
class _Part:
    """A segment or chunk: its name, its content, and the bytes of the file from `start` to `end` that are it."""

    name: bytes
    content: bytes
    start: int
    end: int


def format_of(data: bytes) -> Format | None:
    """Which of the three formats these bytes begin like; None for any other."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG_HEAD):
        return "PNG"
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def write(data: bytes, fields: Mapping[str, str]) -> bytes:
    """The file with the AIGC field; one that was there is replaced.

    Raises MarkError for another format, for a damaged file, and for a packet that a JPEG segment cannot hold.
    """
    kind = format_of(data)
    if kind is None:
        raise MarkError("this format carries no records of ours: write JPEG, PNG or WebP")
    try:
        made = packet(fields, _find(kind, data))
        into: Callable[[bytes, bytes], bytes] = {"JPEG": _into_jpeg, "PNG": _into_png, "WEBP": _into_webp}[kind]
        return into(data, made)
    except (struct.error, IndexError, zlib.error) as error:
        raise MarkError(f"a damaged {kind}: its parts cannot be told apart, so no record can be added") from error


def read(data: bytes) -> dict[str, str] | None:
    """The AIGC field of a file; None where it has none, is of another format, or is damaged before it."""
    kind = format_of(data)
    try:
        found = _find(kind, data) if kind else None
    except (struct.error, IndexError, zlib.error):
        return None
    return aigc_fields(found) if found else None


def _find(kind: Format, data: bytes) -> bytes | None:
    """The file's XMP packet."""
    if kind == "JPEG":
        return next((p.content[len(_JPEG_XMP) :] for p in _jpeg_parts(data) if _is_jpeg_xmp(p)), None)
    if kind == "PNG":
        return next((_itxt_text(p.content) for p in _png_parts(data) if _is_png_xmp(p)), None)
    return next((p.content for p in _webp_parts(data) if p.name == b"XMP "), None)


# ---- JPEG (ITU T.81; XMP part 3) ------------------------------------------------------------------------------------


def _jpeg_parts(data: bytes) -> Iterator[_Part]:
    """The segments between the start of the image and its first scan."""
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFFFF:  # a fill byte
            at += 1
            continue
        if marker < 0xFF00 or at + 2 + length > len(data):
            raise struct.error("no segment here")
        if marker in (0xFFDA, 0xFFD9):
            return
        end = at + 2 + length
        yield _Part(data[at : at + 2], data[at + 4 : end], at, end)
        at = end


def _is_jpeg_xmp(part: _Part) -> bool:
    return part.name == b"\xff\xe1" and part.content.startswith(_JPEG_XMP)


def _into_jpeg(data: bytes, made: bytes) -> bytes:
    parts = list(_jpeg_parts(data))
    content = _JPEG_XMP + made
    if len(content) > 0xFFFF - 2:
        raise MarkError(f"the XMP packet would have {len(content):,} bytes, a JPEG holds 65,533: shorten the metadata")
    segment = b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    # JFIF and EXIF want to come first.
    first = [p for p in parts if p.name == b"\xff\xe0" or (p.name == b"\xff\xe1" and p.content.startswith(b"Exif"))]
    place = max((p.end for p in first), default=2)
    return _spliced(data, [p for p in parts if _is_jpeg_xmp(p)], place, segment)


# ---- PNG (ISO/IEC 15948) --------------------------------------------------------------------------------------------


def _png_parts(data: bytes) -> Iterator[_Part]:
    at = len(_PNG_HEAD)
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise struct.error("a chunk is cut off")
        yield _Part(name, data[at + 8 : end - 4], at, end)
        if name == b"IEND":
            return
        at = end


def _is_png_xmp(part: _Part) -> bool:
    return part.name == b"iTXt" and part.content.startswith(_PNG_XMP)


def _itxt_text(content: bytes) -> bytes:
    """The text of an iTXt chunk: keyword, compressed?, method, language, translated keyword, text."""
    rest = content[len(_PNG_XMP) :]
    text = rest[2:].split(b"\0", 2)[2]
    return zlib.decompressobj().decompress(text, 1 << 24) if rest[0] else text


def _into_png(data: bytes, made: bytes) -> bytes:
    parts = list(_png_parts(data))
    named = b"iTXt" + _PNG_XMP + b"\0\0\0\0" + made
    chunk = struct.pack(">I", len(named) - 4) + named + struct.pack(">I", zlib.crc32(named))
    return _spliced(data, [p for p in parts if _is_png_xmp(p)], parts[0].end, chunk)


# ---- WebP (RFC 9649) ------------------------------------------------------------------------------------------------


def _webp_parts(data: bytes) -> Iterator[_Part]:
    at, last = 12, 8 + int(struct.unpack_from("<I", data, 4)[0])
    if last > len(data):
        raise struct.error("the file is cut off")
    while at + 8 <= last:
        name, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        if at + 8 + length > last:
            raise struct.error("a chunk is cut off")
        yield _Part(name, data[at + 8 : at + 8 + length], at, min(end, last))
        at = end


def _into_webp(data: bytes, made: bytes) -> bytes:
    parts = [part for part in _webp_parts(data) if part.name != b"XMP "]
    if parts[0].name == b"VP8X":
        extended = bytes([parts[0].content[0] | _WEBP_HAS_XMP]) + parts[0].content[1:]
        parts = parts[1:]
    else:
        extended = _webp_header(parts[0])
    chunks = [(b"VP8X", extended), *((part.name, part.content) for part in parts), (b"XMP ", made)]
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_header(picture: _Part) -> bytes:
    """The content of the VP8X chunk for a simple file's only chunk: flags and size."""
    flags = _WEBP_HAS_XMP
    if picture.name == b"VP8 ":  # RFC 6386, 9.1: three bytes of tag, three of start code, then two times 14 bits
        sizes: tuple[int, int] = struct.unpack_from("<HH", picture.content, 6)
        width, height = sizes[0] & 0x3FFF, sizes[1] & 0x3FFF
    elif picture.name == b"VP8L":  # a signature byte, then 14 + 14 bits, each less one, then whether alpha is used
        (bits,) = struct.unpack_from("<I", picture.content, 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags |= _WEBP_HAS_ALPHA if bits >> 28 & 1 else 0
    else:
        raise struct.error("no picture first")
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _spliced(data: bytes, without: list[_Part], place: int, insert: bytes) -> bytes:
    """`data` with `insert` at `place`, and without these parts."""
    pieces: list[bytes] = []
    at = 0
    changes = [(place, place, insert), *((part.start, part.end, b"") for part in without)]
    for start, end, new in sorted(changes):
        pieces += [data[at:start], new]
        at = end
    pieces.append(data[at:])
    return b"".join(pieces)
