"""Bombs: small files that ask a decoder for much more work or memory than they are worth. Made by code."""

import struct
import zlib

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, rows: bytes | None = None) -> bytes:
    """A PNG of this header with `chunks` before its pixels; `rows`: filter byte and samples, zero if None."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    size = height * (1 + (width * depth * channels + 7) // 8)
    pixels = zlib.compress(bytes(size) if rows is None else rows, 1)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"".join([PNG_SIGNATURE, header, *chunks, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")])


def jpeg_segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG with its marker and length."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_of_scans(side: int, scans: int, channels: int = 1) -> bytes:
    """A progressive JPEG of `side` x `side`: a DC scan of all channels, then valid AC scans of 20 bytes and more.

    An AC scan holds nothing but end-of-band runs of 32,767 blocks; all pixels are grey.
    """
    components = b"".join(bytes([1 + k, 0x11, 0]) for k in range(channels))
    blocks = (-(-side // 8)) ** 2
    parts = [
        b"\xff\xd8",
        jpeg_segment(0xDB, b"\0" + b"\1" * 64),
        jpeg_segment(0xC2, struct.pack(">BHHB", 8, side, side, channels) + components),
        jpeg_segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00"),  # DC: the code 0 for no difference
        jpeg_segment(0xC4, b"\x10" + bytes([0, 1] + [0] * 14) + b"\xe0"),  # AC: the code 00 for runs
        jpeg_segment(0xDA, bytes([channels]) + b"".join(bytes([1 + k, 0]) for k in range(channels)) + b"\0\0\0"),
        bytes(-(-blocks * channels // 8)),
    ]
    runs = b"\x3f\xff\x00" * -(-blocks // 32_767)
    orders = ((channel, k, low) for channel in range(channels) for k in range(1, 64) for low in range(13, -1, -1))
    for _, (channel, k, low) in zip(range(scans - 1), orders, strict=False):
        high = 0 if low == 13 else low + 1
        parts += [jpeg_segment(0xDA, bytes([1, 1 + channel, 0, k, k, high << 4 | low])), runs]
    return b"".join([*parts, b"\xff\xd9"])
