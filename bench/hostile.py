"""Bombs: what the decoding of small, hostile files costs.

Each is decoded in a process of its own, as `curate clean` decodes photos. Reported are the CPU seconds, the memory
above that of the processes before, and what came out. A bomb passes
with a photo or a reason, within 2 s and 500 MB more.

    python -m bench.hostile --only gif --all-rows
"""

import argparse
import io
import os
import pickle
import resource
import signal
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import imagecodecs
import numpy as np
from PIL import Image

from bench import bombs
from curate.decode import decode, isolated
from curate.decode.photo import ISOLATED_FORMATS
from curate.decode.signatures import HEAD_BYTES, format_of
from curate.errors import DecodeError

CPU_SECONDS, MEMORY_MB = 2.0, 500
_HARD_CPU_SECONDS = 20


@dataclass(frozen=True)
class Cost:
    """CPU seconds (of children too), MB more, and the outcome, of one bomb of `size` bytes."""

    name: str
    size: int
    seconds: float
    megabytes: float
    outcome: str

    @property
    def passes(self) -> bool:
        """Whether there was an outcome within the limits."""
        ended = not self.outcome.startswith(("killed", "Traceback"))
        return ended and self.seconds <= CPU_SECONDS and self.megabytes <= MEMORY_MB

    def row(self, family: str) -> str:
        """A row of the table."""
        cells = (family, self.name, f"{self.size:,}", f"{self.seconds:.2f}", f"{self.megabytes:.0f}", self.outcome)
        return f"| {' | '.join(cells)} |{'' if self.passes else ' **missed**'}"


def saved(width: int, height: int, format: str, mode: str = "RGB", **options: object) -> bytes:
    """A file of one colour by Pillow."""
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, format, **options)
    return file.getvalue()


def jpegs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    sizes = {7000: (17, 60, 400), 5000: (40,), 4000: (62,), 3000: (110,), 2000: (250,), 1000: (880,), 500: (882,)}
    for side, scans in ((side, scans) for side, counts in sizes.items() for scans in counts):
        for channels in (1, 3, 4):
            name = f"{scans} scans of {side}x{side}x{channels}"
            yield name, partial(bombs.jpeg_of_scans, side, scans * (1 if channels == 1 else 2), channels)
    small = saved(16, 16, "JPEG")
    for count in (10**6, 10**7, 10**8):
        yield f"{count:,} fill bytes", partial(lambda n: small[:2] + b"\xff" * n + small[2:], count)
        yield f"{count:,} fill bytes at the end", partial(lambda n: small[:-2] + b"\xff" * n + small[-2:], count)
        yield f"{count:,} zeros behind the end", partial(lambda n: small + bytes(n), count)
        comments = bombs.jpeg_segment(0xFE, b"") * (count // 4)
        yield f"{count // 4:,} empty segments", partial(lambda c: small[:2] + c + small[2:], comments)
        yield f"{count // 4:,} empty segments at the end", partial(lambda c: small[:-2] + c + small[-2:], comments)
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x13\x01\x03\0\x01\0\0\0\x01\0\0\0" * 5400
    yield "EXIF of 65,535 tags", lambda: small[:2] + bombs.jpeg_segment(0xE1, exif) + small[2:]
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + b"tiff:Orientation=" * 3800
    yield "XMP of 3,800 orientations", lambda: small[:2] + bombs.jpeg_segment(0xE1, xmp) + small[2:]
    profile = bombs.jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000))
    for count in (10, 1000, 2000):
        yield f"colour profile of {count} segments", partial(lambda n: small[:2] + profile * n + small[2:], count)
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            name = f"{mode} of 49 MP{', progressive' if progressive else ''}"
            yield name, partial(saved, 7000, 7000, "JPEG", mode, progressive=progressive, subsampling=0)
    yield "200 MP", partial(saved, 14_000, 14_200, "JPEG", "L")
    yield "200 MP, progressive", partial(saved, 14_000, 14_200, "JPEG", "L", progressive=True)
    header = bombs.jpeg_of_scans(7000, 1)
    yield "49 MP without data", lambda: header[:700] + b"\xff\xd9"


def pngs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for colour in (0, 2, 3, 4, 6):
        for depth in (1, 8, 16) if colour in (0, 3) else (8, 16):
            if (colour, depth) == (3, 16):
                continue
            palette = [bombs.png_chunk(b"PLTE", bytes(768))] if colour == 3 else []
            name = f"colour {colour}, {depth} bit, 49 MP"
            yield name, partial(bombs.png, 7000, 7000, *palette, depth=depth, colour=colour)
    text = bombs.png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10**7), 9))
    raw = bombs.png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(10**7), 9))
    xmp = bombs.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(10**7), 9))
    for name, chunk in (("texts", text), ("raw profiles", raw), ("XMP packets", xmp)):
        for count in (1, 10, 100, 3000):
            yield f"{count} {name} of 10 MB", partial(lambda c, n: bombs.png(8, 8, *[c] * n), chunk, count)
    profile = bombs.png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(10**8), 9))
    yield "colour profile of 100 MB", lambda: bombs.png(8, 8, profile)
    for count in (10**4, 60_000, 10**5, 10**6):
        chunks = bombs.png_chunk(b"prVt", b"") * count
        yield f"{count:,} chunks", partial(lambda c: bombs.png(8, 8, c), chunks)
        yield (
            f"{count:,} critical chunks",
            partial(lambda n: bombs.png(8, 8, bombs.png_chunk(b"PLTE", bytes(3)) * n), count),
        )
    pixels = zlib.compress(bytes(8 * 25) + bytes(10**8), 9)
    ihdr, end = bombs.png(8, 8)[:33], bombs.png_chunk(b"IEND", b"")
    yield "100 MB more pixels than it has", lambda: ihdr + bombs.png_chunk(b"IDAT", pixels) + end
    for size in (1, 4):
        data = zlib.compress(np.random.default_rng(0).bytes(200 * 601), 0)
        pieces = b"".join(bombs.png_chunk(b"IDAT", data[at : at + size]) for at in range(0, len(data), size))
        yield f"pixels in chunks of {size} bytes", partial(lambda p: bombs.png(200, 200)[:33] + p + end, pieces)
    for width, height in ((1, 50_000_000), (50_000_000, 1), (16_000_000, 3), (2**31 - 1, 2**31 - 1)):
        yield f"{width}x{height}", partial(bombs.png, width, height, rows=bytes(10**6), colour=0)
    control = bombs.png_chunk(b"acTL", b"\x7f\xff\xff\xff\0\0\0\0")
    yield "2^31 frames", lambda: bombs.png(8, 8, control)
    yield "transparency of a 49 MP photo", lambda: bombs.png(7000, 7000, bombs.png_chunk(b"tRNS", bytes(6)))


def gifs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "49 MP", partial(bombs.gif, 7000, 7000)
    yield "49 MP, small frame", partial(bombs.gif, 7000, 7000, frame=(1, 1))
    yield "65535x65535, small frame", partial(bombs.gif, 65_535, 65_535, frame=(1, 1))
    yield "small canvas, frame of 49 MP", partial(bombs.gif, 1, 1, frame=(7000, 7000))
    yield "small canvas, frame of 65535x65535", partial(bombs.gif, 1, 1, frame=(65_535, 9000))
    for count in (10, 10**4, 10**6):
        yield f"{count:,} frames of 8x8", partial(bombs.gif, 8, 8, frames=count)
        yield f"{count:,} frames of 1x1 on 49 MP", partial(bombs.gif, 7000, 7000, frame=(1, 1), frames=count)
    for size in (10**5, 10**7, 10**8):
        yield f"comment of {size:,} bytes", partial(lambda n: bombs.gif(8, 8, bombs.gif_comment(n)), size)
        yield (
            f"comment of {size:,} short blocks",
            partial(lambda n: bombs.gif(8, 8, bombs.gif_comment(n, 1)), size // 2),
        )
        yield f"{size // 4:,} comments", partial(lambda n: bombs.gif(8, 8, b"!\xfe\x01x\0" * (n // 5)), size)
        yield f"{size:,} bytes between blocks", partial(lambda n: bombs.gif(8, 8, b"\1" * n), size)
        trailing = b"\1" * size + b"," + bytes(9)
        yield f"{size:,} bytes behind the frame", partial(lambda end: bombs.gif(8, 8)[:-1] + end, trailing)


def tiffs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name, code in (
        ("deflate", 8),
        ("LZMA", 34925),
        ("zstd", 50000),
        ("Adobe deflate", 32946),
        ("LZW", 5),
        ("packbits", 32773),
    ):
        pixels = {8: zlib.compress(bytes(147_000_000), 9), 32946: zlib.compress(bytes(147_000_000), 9)}.get(
            code, bytes(10**5)
        )
        yield f"{name}, 49 MP", partial(bombs.tiff_photo, 7000, 7000, pixels, code)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4", "lzma", "zstd"):
        for mode in ("1",) if compression == "group4" else ("RGB", "L"):
            name = f"{compression} by Pillow, {mode} of 25 MP"
            yield name, partial(saved, 5000, 5000, "TIFF", mode, compression=compression)
    for count in (1000, 10**5, 10**6):
        strips = {"t273": ("I", [-1] * count), "t279": ("I", [3] * count), "t278": ("I", [1])}
        yield f"{count:,} strips of one pixel", partial(bombs.tiff_photo, 1, count, bytes(3), **strips)
        tiles = {"t322": ("I", [16]), "t323": ("I", [16]), "t324": ("I", [-1] * count), "t325": ("I", [768] * count)}
        yield f"{count:,} tiles", partial(bombs.tiff_photo, 16, 16 * count, bytes(768), **tiles)
        tiles |= {"t322": ("I", [1]), "t323": ("I", [1])}
        yield f"{count:,} tiles of one pixel", partial(bombs.tiff_photo, 1, count, bytes(768), **tiles)
    tile = {"t322": ("I", [20_000]), "t323": ("I", [20_000]), "t324": ("I", [-1]), "t325": ("I", [1000])}
    for code in (1, 8, 5, 7):
        yield (
            f"a tile of 400 MP, compression {code}",
            partial(bombs.tiff_photo, 16, 16, zlib.compress(bytes(10**6)), code, **tile),
        )
        rows = {"t278": ("I", [2**31])}
        yield f"a strip of 2^31 rows, compression {code}", partial(bombs.tiff_photo, 16, 16, bytes(1000), code, **rows)
    shared = {f"t{40_000 + k}": ("B", [0] * 8) for k in range(20_000)}
    yield "20,000 tags", partial(bombs.tiff_photo, 16, 16, bytes(768), **shared)
    yield "60,000 tags of the same 100 MB", bombs.tiff_of_shared_tags
    yield (
        "a directory that follows itself",
        lambda: (
            bombs.tiff_photo(8, 8, bytes(192))[:-192][: 8 + 2 + 9 * 12]
            + b"\x08\0\0\0"
            + bombs.tiff_photo(8, 8, bytes(192))[8 + 2 + 9 * 12 + 4 :]
        ),
    )
    yield "10,000 directories", partial(bombs.tiff_of_directories, 10_000)
    for scans in (60, 400, 800):
        jpeg = bombs.jpeg_of_scans(7000, scans)
        tags = {"t258": ("H", [8]), "t277": ("H", [1]), "t262": ("H", [1])}
        yield f"JPEG of {scans} scans, 49 MP", partial(bombs.tiff_photo, 7000, 7000, jpeg, 7, **tags)
    for bits, kind in ((32, 3), (64, 3), (32, 2)):
        tags = {"t258": ("H", [bits]), "t277": ("H", [1]), "t262": ("H", [1]), "t339": ("H", [kind])}
        yield f"{bits} bit of kind {kind}, 49 MP", partial(bombs.tiff_photo, 7000, 7000, bytes(1000), 8, **tags)


def bmps() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "RLE8 of 49 MP", partial(bombs.bmp, 7000, 7000, (b"\xff\0" * 28 + b"\0\0") * 7000 + b"\0\1", 8, 1)
    yield "RLE4 of 49 MP", partial(bombs.bmp, 7000, 7000, (b"\xff\0" * 28 + b"\0\0") * 7000 + b"\0\1", 4, 2)
    yield "RLE8 of 49 MP, one byte", partial(bombs.bmp, 7000, 7000, b"\0\1", 8, 1)
    yield "RLE8 of moves", partial(bombs.bmp, 7000, 7000, b"\0\2\1\0" * 10**7, 8, 1)
    yield "1 bit of 49 MP", partial(bombs.bmp, 7008, 7000, bytes(876 * 7000), 1)
    yield "32 bit of 4 MP", partial(bombs.bmp, 2000, 2000, bytes(16_000_000), 32)
    yield "49 MP without data", partial(bombs.bmp, 7000, 7000, b"")
    yield "2^31 rows", partial(bombs.bmp, 1, -(2**31), b"")


def webps() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for mode in ("RGB", "RGBA"):
        for lossless in (False, True):
            name = f"{mode} of 49 MP{', lossless' if lossless else ''}"
            yield name, partial(saved, 7000, 7000, "WEBP", mode, lossless=lossless, method=0)
    still = saved(16, 16, "WEBP", lossless=True)
    for canvas in ((16, 16), (7000, 7000), (16_383, 3000)):
        for count in (2, 10**4, 10**5):
            yield f"{count:,} frames on {canvas[0]}x{canvas[1]}", partial(bombs.webp_frames, canvas, still, count)
    chunks = b"EXIF\0\0\0\0" * 10**6
    whole = bombs.webp_frames((16, 16), still, 1)[12:] + chunks
    yield "a million chunks", lambda: b"RIFF" + (len(whole) + 4).to_bytes(4, "little") + b"WEBP" + whole


def others() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for side in (2000, 6000):
        zeros = np.zeros((side, side, 3), np.uint8)
        yield f"JXL of {side}x{side}", partial(lambda z: bytes(imagecodecs.jpegxl_encode(z, level=80, effort=1)), zeros)
        yield (
            f"JXL of {side}x{side}, lossless",
            partial(lambda z: bytes(imagecodecs.jpegxl_encode(z, lossless=True, effort=1)), zeros),
        )
    zeros = np.zeros((40, 1000, 1000, 3), np.uint8)
    yield "JXL of 40 frames", lambda: bytes(imagecodecs.jpegxl_encode(zeros, level=80, effort=1))
    yield "AVIF of 4 MP", partial(saved, 2000, 2000, "AVIF", speed=10)
    yield "AVIF of 25 MP", partial(saved, 5000, 5000, "AVIF", speed=10)
    frames = [Image.new("RGB", (400, 400), (k, 0, 0)) for k in range(60)]
    yield "AVIF of 60 frames", partial(saved, 400, 400, "AVIF", speed=10, save_all=True, append_images=frames)
    for name, source in (("AVIF", "AVIF"), ("HEIC", "HEIF")):
        for width, height in ((7000, 7000), (2**15, 2**15), (2**31 - 1, 2**31 - 1)):
            yield f"{name} that declares {width}x{height}", partial(_declared, source, width, height)
    yield "HEIC of 1 MP", partial(saved, 1000, 1000, "HEIF")


def _declared(format: str, width: int, height: int) -> bytes:
    """A HEIF-like file of 16 x 16 whose property `ispe` declares another size."""
    if format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    data = saved(64, 64, format)
    at = data.index(b"ispe") + 8
    return data[:at] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + data[at + 8 :]


FAMILIES = {"jpeg": jpegs, "png": pngs, "gif": gifs, "tiff": tiffs, "bmp": bmps, "webp": webps, "other": others}


def measure(name: str, data: bytes) -> Cost:
    """Decode a bomb in a forked process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (_HARD_CPU_SECONDS, _HARD_CPU_SECONDS))
        before, began = _memory(), _seconds()
        try:
            isolated._idle.clear()  # processes of the parent
            decoded = decode(data, shrink=True)
            outcome = f"{decoded.width}x{decoded.height} {', '.join(decoded.notes)}"
        except DecodeError as error:
            outcome = str(error)
        except BaseException as error:  # noqa: BLE001
            outcome = f"Traceback: {type(error).__name__}: {error}"
        isolated.close()  # counts as this process's child
        os.write(writer, pickle.dumps((_seconds() - began, (_memory() - before) / 1024, outcome)))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        return Cost(name, len(data), _HARD_CPU_SECONDS, 0, f"killed by {signal.Signals(os.WTERMSIG(status)).name}")
    seconds, megabytes, outcome = pickle.loads(answer)
    return Cost(name, len(data), seconds, megabytes, outcome)


def _seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def _memory() -> int:
    """Peak memory in KiB, with that of an isolated decoder."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def main() -> None:
    """Measure all bombs, or those of a family."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", choices=FAMILIES)
    arguments.add_argument("--all-rows", action="store_true", help="print every bomb, not only those that fail")
    options = arguments.parse_args()
    costs = []
    idle = measure("idle", bombs.tiff_photo(1, 1, bytes(3))).megabytes  # an isolated process with its libraries
    print("| family | bomb | bytes | CPU, s | MB more | outcome |\n|---|---|---|---|---|---|")
    for family, make in FAMILIES.items():
        if options.only not in (None, family):
            continue
        for name, build in make():
            data = build()
            cost = measure(name, data)
            if format_of(data[:HEAD_BYTES]) in ISOLATED_FORMATS:
                cost = replace(cost, megabytes=max(0.0, cost.megabytes - idle))
            costs.append(cost)
            if options.all_rows or not cost.passes:
                print(cost.row(family), flush=True)
    passed, limits = sum(cost.passes for cost in costs), f"{CPU_SECONDS:g} s of CPU and {MEMORY_MB} MB more"
    seconds, megabytes = max(cost.seconds for cost in costs), max(cost.megabytes for cost in costs)
    print(f"\n{passed} of {len(costs)} bombs: a photo or a reason within {limits}")
    print(f"at most {seconds:.2f} s, {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
