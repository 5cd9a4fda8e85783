"""A PNG -> the same PNG with its pixels stored instead of deflated, so that a reader need not inflate them.

libdeflate inflates a whole buffer more than twice as fast as the streaming zlib inside PNG readers, and checks it as
they do. Handing them its result saves a third of their time, the copy into stored blocks included.
"""

import struct
import zlib

import imagecodecs

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_BLOCK = 65_535
"""Bytes in a stored block of deflate (RFC 1951, 3.2.4), at most."""


def stored(data: bytes, max_pixels: int) -> bytes:
    """The bytes of a file -> a PNG of the same chunks whose image data are stored blocks.

    Anything but a whole PNG without interlacing comes back as it is, for the reader to judge: another format, a damaged
    file, one of more than `max_pixels`. Every IDAT chunk's checksum and that of the deflated stream have been checked
    in what comes back changed.
    """
    if not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 33:
        return data
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if interlaced or colour not in _CHANNELS or not 0 < width * height <= max_pixels:
        return data
    found = _image_data(data)
    if found is None:
        return data
    deflated, start, end = found
    size = height * (1 + (width * depth * _CHANNELS[colour] + 7) // 8)
    try:
        rows = imagecodecs.deflate_decode(deflated, out=size)
    except imagecodecs.DeflateError:
        return data
    if len(rows) != size:
        return data
    # The checksum of what is inflated stands at the end of the stream; libdeflate has compared it.
    return b"".join([data[:start], *_idat(rows, deflated[-4:]), data[end:]])


def _image_data(data: bytes) -> tuple[bytes, int, int] | None:
    """The deflated stream, and where its chunks begin and end; None unless they are whole and follow one another."""
    at, start, end, parts = 8, 0, 0, []
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        after = at + 12 + length
        if after > len(data):
            return None
        if kind == b"IDAT":
            if end not in (0, at):
                return None
            start, end = start or at, after
            part = data[at + 4 : after - 4]
            if imagecodecs.deflate_crc32(part) != int.from_bytes(data[after - 4 : after], "big"):
                return None
            parts.append(memoryview(part)[4:])
        at = after
        if kind == b"IEND":
            return (b"".join(parts), start, end) if parts else None
    return None


def _idat(rows: bytes | bytearray, checksum: bytes) -> list[bytes | memoryview]:
    """IDAT chunks of one stored block each."""
    view, pieces = memoryview(rows), list[bytes | memoryview]()
    for at in range(0, len(rows), _BLOCK):
        block = view[at : at + _BLOCK]
        last = at + _BLOCK >= len(rows)
        # zlib's header stands before the first block, its checksum after the last (RFC 1950).
        head = b"IDAT" + b"\x78\x01" * (at == 0) + struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF)
        tail = checksum if last else b""
        body = imagecodecs.deflate_crc32(block, zlib.crc32(head))  # type: ignore[arg-type]  # any buffer will do
        crc = zlib.crc32(tail, body)
        pieces += [struct.pack(">I", len(head) - 4 + len(block) + len(tail)), head, block, tail, struct.pack(">I", crc)]
    return pieces
