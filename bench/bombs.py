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


def gif(width: int, height: int, *blocks: bytes, frame: tuple[int, int] | None = None, frames: int = 1) -> bytes:
    """A GIF of black pixels with `blocks` before its first frame; `frame`: size of the frames, the canvas's if None."""
    header = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    columns, rows = frame or (width, height)
    picture = b"," + struct.pack("<HHHHB", 0, 0, columns, rows, 0) + _lzw_zeros(columns * rows)
    return b"".join([header, *blocks, *[picture] * frames, b";"])


def gif_comment(size: int, block: int = 255) -> bytes:
    """A comment of `size` bytes in sub-blocks of `block` bytes."""
    return b"!\xfe" + (bytes([block]) + b"x" * block) * (size // block) + b"\0"


def _lzw_zeros(count: int) -> bytes:
    """LZW data of `count` zero indices of 2 bits, in sub-blocks; a clear code keeps all codes 3 bits wide."""
    # A clear code, 0, and 6 (the pair 00 that the first two codes define): 3 pixels. 8 such groups fill 9 bytes.
    group = "".join(f"{code:03b}"[::-1] for code in (4, 0, 6)) * 8
    packed = int(group[::-1], 2).to_bytes(9, "little") * -(-count // 24) + b"\x05"  # the end code
    parts = [bytes([len(packed[at : at + 255])]) + packed[at : at + 255] for at in range(0, len(packed), 255)]
    return b"\x02" + b"".join(parts) + b"\0"


TIFF_TYPES = {"B": 1, "H": 3, "I": 4}


def tiff(tags: dict[int, tuple[str, list[int]]], data: bytes = b"") -> bytes:
    """A little-endian TIFF: its directory, the values of `tags` (format and numbers), then `data`.

    The number "data" cannot be known in a list: -1 stands for the offset of `data`.
    """
    entries, values = [], b""
    start = 8 + 2 + 12 * len(tags) + 4
    size = sum(struct.calcsize(kind) * len(numbers) + 3 for kind, numbers in tags.values())
    place = start + size
    for tag, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}{kind}", *[place if number < 0 else number for number in numbers])
        if len(packed) > 4:
            field = struct.pack("<I", start + len(values))
            values += packed
        else:
            field = packed.ljust(4, b"\0")
        entries.append(struct.pack("<HHI", tag, TIFF_TYPES[kind], len(numbers)) + field)
    directory = struct.pack("<H", len(tags)) + b"".join(entries) + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8) + directory + values.ljust(size, b"\0") + data


def tiff_photo(width: int, height: int, data: bytes, compression: int = 1, **tags: tuple[str, list[int]]) -> bytes:
    """A TIFF of one strip, RGB of 8 bits; `tags`: t256=..., others or other values."""
    fields: dict[int, tuple[str, list[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [8, 8, 8]),
        259: ("H", [compression]),
        262: ("H", [2]),
        273: ("I", [-1]),
        277: ("H", [3]),
        278: ("I", [height]),
        279: ("I", [len(data)]),
    }
    fields |= {int(name[1:]): value for name, value in tags.items()}
    return tiff(fields, data)


def bmp(width: int, height: int, data: bytes, bits: int = 24, compression: int = 0) -> bytes:
    """A BMP with a palette of one black entry for each index."""
    palette = bytes(4 << bits) if bits <= 8 else b""
    offset = 54 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + palette + data


def webp_frames(canvas: tuple[int, int], frame: bytes, frames: int) -> bytes:
    """An animated WebP that repeats the chunk VP8 or VP8L of `frame`, a still WebP of 16 x 16."""
    chunk = frame[12:]
    header = struct.pack("<I", 0)[:3] * 2 + struct.pack("<I", 15)[:3] * 2 + struct.pack("<I", 40)[:3] + b"\0"
    body = header + chunk
    animation = b"ANMF" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    size = b"".join(struct.pack("<I", side - 1)[:3] for side in canvas)
    chunks = b"VP8X" + struct.pack("<IB3x", 10, 2) + size + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + animation * frames
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def tiff_of_shared_tags() -> bytes:
    """A TIFF with 30,000 tags that share 100 MB of values."""
    entries = b"".join(
        b"".join([(30_000 + k).to_bytes(2, "little"), b"\x01\0", (10**8).to_bytes(4, "little"), b"\x08\0\0\0"])
        for k in range(30_000)
    )
    photo = tiff_photo(8, 8, bytes(192))
    own = photo[10 : 10 + 9 * 12]
    directory = (30_009).to_bytes(2, "little") + own + entries + bytes(4)
    return b"II*\0\x08\0\0\0" + directory + bytes(10**8)


def tiff_of_directories(count: int) -> bytes:
    """A TIFF with a chain of directories, one image each."""
    parts, at = [b"II*\0\x08\0\0\0"], 8
    for k in range(count):
        following = at + 2 + 12 * 9 + 4 + 6
        photo = tiff_photo(1, 1, bytes(3))
        body = photo[8 : 8 + 2 + 9 * 12] + (following if k + 1 < count else 0).to_bytes(4, "little") + bytes(6)
        parts.append(body)
        at = following
    return b"".join(parts) + bytes(64)
