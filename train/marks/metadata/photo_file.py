"""XMP in JPEG, PNG and WebP files: inserts the AIGC field without changing a pixel, and finds the packet again.

JPEG: an APP1 segment, and more of them with the packet that continues a large one (Adobe XMP specification, part 3).
PNG: an iTXt chunk. WebP: a chunk "XMP ", for which a simple file becomes an extended one. An existing XMP packet keeps
its other properties.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from train.errors import MarkError
from train.marks.containers import PNG_SIGNATURE, PhotoFormat, photo_format
from train.marks.metadata.xmp import EXTENSION_PROPERTY, build_packet, join_packets, split_packet, values_of

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_JPEG_EXTENSION_HEADER = struct.Struct(">32sII")  # digest, length of the packet, position of this part in it
_SEGMENT_BYTES = 0xFFFF - 2
_PNG_XMP = b"XML:com.adobe.xmp\0"
_WEBP_HAS_XMP = 0x04
_WEBP_HAS_ALPHA = 0x10


@dataclass(frozen=True)
class _Part:
    """A segment or chunk of a file: its name, its content, and its byte range from `start` to `end`."""

    name: bytes
    content: bytes
    start: int
    end: int


def write_aigc(data: bytes, fields: Mapping[str, str], packet: bytes | None = None) -> bytes:
    """The file with the AIGC field; an existing one is replaced.

    packet: XMP whose properties a file without XMP gets as well.

    Raises MarkError for another format, and for a damaged file.
    """
    format = photo_format(data)
    if format is None:
        raise MarkError("the file format cannot carry XMP: write JPEG, PNG or WebP")
    insert: dict[PhotoFormat, Callable[[bytes, bytes], bytes]] = {
        "JPEG": _insert_into_jpeg, "PNG": _insert_into_png, "WEBP": _insert_into_webp,
    }  # fmt: skip
    try:
        return insert[format](data, build_packet(fields, _find_xmp(format, data) or packet))
    except (struct.error, IndexError, zlib.error) as error:
        raise MarkError(f"the {format} file is damaged: its structure cannot be parsed, so no XMP is added") from error


def find_packet(data: bytes) -> bytes | None:
    """The XMP packet of a file; None where it has none, is of another format, or is damaged before it."""
    format = photo_format(data)
    try:
        return _find_xmp(format, data) if format else None
    except (struct.error, IndexError, zlib.error):
        return None


def png_texts(data: bytes) -> list[tuple[str, bytes]]:
    """The keyword and the whole chunk of each text of a PNG; empty for other formats, and after damage."""
    texts = []
    try:
        for part in _png_chunks(data) if photo_format(data) == "PNG" else ():
            if part.name in (b"tEXt", b"zTXt", b"iTXt"):
                texts.append((part.content.split(b"\0", 1)[0].decode("latin-1"), data[part.start : part.end]))
    except struct.error:
        pass
    return texts


def insert_png_chunks(data: bytes, chunks: Sequence[bytes]) -> bytes:
    """A PNG with whole chunks inserted behind its header."""
    return _splice(data, [], next(_png_chunks(data)).end, b"".join(chunks))


def _find_xmp(format: PhotoFormat, data: bytes) -> bytes | None:
    """The XMP packet of the file."""
    if format == "JPEG":
        return _jpeg_packet(data)
    if format == "PNG":
        return next((_itxt_text(p.content) for p in _png_chunks(data) if _is_png_xmp(p)), None)
    return next((p.content for p in _webp_chunks(data) if p.name == b"XMP "), None)


# ---- JPEG (ITU T.81; XMP part 3) ------------------------------------------------------------------------------------


def _jpeg_segments(data: bytes) -> Iterator[_Part]:
    """The segments between the start of the image and its first scan."""
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFFFF:  # a fill byte
            at += 1
            continue
        if marker < 0xFF00 or at + 2 + length > len(data):
            raise struct.error("not a segment")
        if marker in (0xFFDA, 0xFFD9):
            return
        end = at + 2 + length
        yield _Part(data[at : at + 2], data[at + 4 : end], at, end)
        at = end


def _is_jpeg_xmp(part: _Part, signature: bytes = _JPEG_XMP) -> bool:
    return part.name == b"\xff\xe1" and part.content.startswith(signature)


def _jpeg_packet(data: bytes) -> bytes | None:
    """The packet of a JPEG, and what continues it."""
    parts = list(_jpeg_segments(data))
    packet = next((part.content[len(_JPEG_XMP) :] for part in parts if _is_jpeg_xmp(part)), None)
    extensions = [part.content[len(_JPEG_EXTENSION) :] for part in parts if _is_jpeg_xmp(part, _JPEG_EXTENSION)]
    if packet is None or not extensions:
        return packet
    digest = next(iter(values_of(packet, EXTENSION_PROPERTY)), "").upper().encode()
    size = _JPEG_EXTENSION_HEADER.size
    ordered = sorted((_JPEG_EXTENSION_HEADER.unpack_from(part), part[size:]) for part in extensions if len(part) > size)
    content = bytearray()
    for (owner, _, position), text in ordered:
        if owner.upper() == digest and position == len(content):  # others are leftovers of other packets
            content += text
    return join_packets(packet, bytes(content))


def _jpeg_xmp_segments(packet: bytes) -> Iterator[bytes]:
    limit = _SEGMENT_BYTES - len(_JPEG_XMP)
    extension = b""
    if len(packet) > limit:
        packet, extension = split_packet(packet, limit)
    yield _segment(_JPEG_XMP + packet)
    digest = next(iter(values_of(packet, EXTENSION_PROPERTY)), "").encode() if extension else b""
    step = _SEGMENT_BYTES - len(_JPEG_EXTENSION) - _JPEG_EXTENSION_HEADER.size
    for start in range(0, len(extension), step):
        header = _JPEG_EXTENSION_HEADER.pack(digest, len(extension), start)
        yield _segment(_JPEG_EXTENSION + header + extension[start : start + step])


def _segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def _insert_into_jpeg(data: bytes, packet: bytes) -> bytes:
    parts = list(_jpeg_segments(data))
    # JFIF and EXIF must come first.
    first = [p for p in parts if p.name == b"\xff\xe0" or (p.name == b"\xff\xe1" and p.content.startswith(b"Exif"))]
    position = max((p.end for p in first), default=2)
    removed = [part for part in parts if _is_jpeg_xmp(part) or _is_jpeg_xmp(part, _JPEG_EXTENSION)]
    return _splice(data, removed, position, b"".join(_jpeg_xmp_segments(packet)))


# ---- PNG (ISO/IEC 15948) --------------------------------------------------------------------------------------------


def _png_chunks(data: bytes) -> Iterator[_Part]:
    at = len(PNG_SIGNATURE)
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise struct.error("a chunk is truncated")
        yield _Part(name, data[at + 8 : end - 4], at, end)
        if name == b"IEND":
            return
        at = end


def _is_png_xmp(part: _Part) -> bool:
    return part.name == b"iTXt" and part.content.startswith(_PNG_XMP)


def _itxt_text(content: bytes) -> bytes:
    """The text of an iTXt chunk: keyword, compression flag, method, language, translated keyword, text."""
    rest = content[len(_PNG_XMP) :]
    text = rest[2:].split(b"\0", 2)[2]
    return zlib.decompressobj().decompress(text, 1 << 24) if rest[0] else text


def _insert_into_png(data: bytes, packet: bytes) -> bytes:
    parts = list(_png_chunks(data))
    named = b"iTXt" + _PNG_XMP + b"\0\0\0\0" + packet
    chunk = struct.pack(">I", len(named) - 4) + named + struct.pack(">I", zlib.crc32(named))
    return _splice(data, [p for p in parts if _is_png_xmp(p)], parts[0].end, chunk)


# ---- WebP (RFC 9649) ------------------------------------------------------------------------------------------------


def _webp_chunks(data: bytes) -> Iterator[_Part]:
    at, last = 12, 8 + int(struct.unpack_from("<I", data, 4)[0])
    if last > len(data):
        raise struct.error("the file is truncated")
    while at + 8 <= last:
        name, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        if at + 8 + length > last:
            raise struct.error("a chunk is truncated")
        yield _Part(name, data[at + 8 : at + 8 + length], at, min(end, last))
        at = end


def _insert_into_webp(data: bytes, packet: bytes) -> bytes:
    parts = [part for part in _webp_chunks(data) if part.name != b"XMP "]
    if parts[0].name == b"VP8X":
        extended = bytes([parts[0].content[0] | _WEBP_HAS_XMP]) + parts[0].content[1:]
        parts = parts[1:]
    else:
        extended = _vp8x_content(parts[0])
    chunks = [(b"VP8X", extended), *((part.name, part.content) for part in parts), (b"XMP ", packet)]
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _vp8x_content(picture: _Part) -> bytes:
    """The content of the VP8X chunk, flags and canvas size, for the only chunk of a simple file."""
    flags = _WEBP_HAS_XMP
    if picture.name == b"VP8 ":  # RFC 6386, 9.1: 3 bytes of tag, 3 of start code, then 14 bits of width and of height
        sizes: tuple[int, int] = struct.unpack_from("<HH", picture.content, 6)
        width, height = sizes[0] & 0x3FFF, sizes[1] & 0x3FFF
    elif picture.name == b"VP8L":  # a signature byte, then 14 bits of width - 1 and of height - 1, and the alpha flag
        (bits,) = struct.unpack_from("<I", picture.content, 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags |= _WEBP_HAS_ALPHA if bits >> 28 & 1 else 0
    else:
        raise struct.error("no image chunk first")
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _splice(data: bytes, removed: list[_Part], position: int, inserted: bytes) -> bytes:
    """`data` with `inserted` at `position`, and without the parts `removed`."""
    pieces: list[bytes] = []
    at = 0
    changes = [(position, position, inserted), *((part.start, part.end, b"") for part in removed)]
    for start, end, new in sorted(changes):
        pieces += [data[at:start], new]
        at = end
    pieces.append(data[at:])
    return b"".join(pieces)
