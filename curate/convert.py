"""PNG (and every other kind of photo) -> JPEG, the same tree, each output decoded again before it gets its name."""

import csv
import ctypes
import errno
import os
import platform
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from curate.decode import MAX_PIXELS, Colour, decode
from curate.decode.inflate import inflate_png
from curate.errors import DecodeError, OutputError
from curate.sources import Entry, Source, decode_name, encode_name, open_source
from curate.sources.entry import is_photo

REPORT = "convert-report.csv"
Status = Literal["converted", "copied", "skipped", "failed"]
_THIS_NAME_ONLY = {
    errno.ENAMETOOLONG,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.EILSEQ,
    errno.EINVAL,
}
"""Errors of writing that come from a photo's name, not from the state of OUT."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_SUBSAMPLING = {"4:4:4": "444", "4:2:2": "422", "4:2:0": "420"}


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """`quality`: 1..100 as libjpeg counts. `subsampling`: "4:4:4", "4:2:2" or "4:2:0". `background`: RGB under alpha.

    `min_psnr`: dB against the decoded original below which an output counts as failed; a photo at quality 95 has 40
    and more, a wrong channel order or a damaged picture under 20.
    """

    quality: int = 95
    subsampling: str = "4:4:4"
    background: Colour = (255, 255, 255)
    min_psnr: float = 25.0
    max_pixels: int = MAX_PIXELS
    workers: int = max(2, os.cpu_count() or 2)

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality={self.quality}: choose 1 to 100")
        if self.subsampling not in _SUBSAMPLING:
            raise ValueError(f"subsampling={self.subsampling!r}: choose {', '.join(_SUBSAMPLING)}")
        if self.workers < 1:
            raise ValueError(f"workers={self.workers}: choose 1 or more")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photo: `image_id` in the source, `output` relative to OUT ("" where none), and why."""

    image_id: str
    output: str
    status: Status
    reason: str = ""


def convert(
    source_root: Path,
    out_root: Path,
    options: ConvertOptions | None = None,
    *,
    kind: str = "folder",
    progress: Callable[[Outcome], None] | None = None,
) -> Counter[Status]:
    """Convert every photo below `source_root` (a directory or a plain tar) into OUT/<same path>.jpg.

    Originals are only read. What is a JPEG already, by content, is copied byte for byte. A photo that cannot be read
    or does not survive verification is a "failed" row in OUT/convert-report.csv (path, output, status, reason), never
    an error. `progress` is called with each outcome in order. Returns how many photos had each status.

    An output of an earlier run is skipped when it is whole and a comment that every output carries names the same
    source size and time and the same options; a copy when size and time equal the original's. Two originals that
    would share a name (a.png, a.bmp) keep their whole names: a.png.jpg, a.bmp.jpg.

    Raises SourceError as `open_source` does; OutputError where OUT is `source_root`, lies inside it or holds it, or
    cannot be written to.
    """
    options = options or ConvertOptions()
    _require_apart(source_root, out_root)
    source = open_source(kind, source_root)
    _keep_freed_memory()
    counts = Counter[Status]()
    report, unfinished = out_root / REPORT, out_root / f".{REPORT}.part"
    try:
        out_root.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["path", "output", "status", "reason"])
            for outcome in _outcomes(source, out_root, options):
                output = encode_name(os.fsencode(outcome.output))
                rows.writerow([outcome.image_id, output, outcome.status, outcome.reason])
                counts[outcome.status] += 1
                if progress:
                    progress(outcome)
        unfinished.replace(report)
    except OSError as error:
        raise OutputError(
            f"{error.filename or out_root} cannot be written ({error.strerror}): free space or choose another --out; "
            f"run the same command again to continue"
        ) from error
    return counts


def _outcomes(source: Source, out_root: Path, options: ConvertOptions) -> Iterator[Outcome]:
    """Every photo's outcome, in the source's order, a few photos ahead in each thread."""
    with ThreadPoolExecutor(options.workers) as threads:
        waiting: deque[Future[Outcome]] = deque()
        reserved: set[str] = set()
        try:
            for identity in source.identities():
                entries = source.entries(identity)
                for entry, output in zip(entries, output_names(entries, reserved), strict=True):
                    waiting.append(threads.submit(_convert_one, source, entry, out_root, output, options))
                    if len(waiting) > 4 * options.workers:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def output_names(entries: Iterable[Entry], reserved: set[str]) -> list[str]:
    """The output path of each photo relative to OUT, as the system names it; no two are equal, a refused one has "".

    a/b.png -> a/b.jpg; where several originals ask for one name, each of them -> its whole name + ".jpg"; should
    that be taken as well, "~2", "~3" ... precede the extension. `reserved` gathers the names such as b.png.jpg that
    an original of another identity in the same folder could ask for too (b.png.png).
    """
    names = ["" if entry.refusal else os.fsdecode(decode_name(entry.image_id)) for entry in entries]
    short = [name and f"{name.rpartition('.')[0]}.jpg" for name in names]
    wanted = Counter(short)
    taken = {name for name, count in wanted.items() if count == 1} | reserved
    outputs = []
    for name, output in zip(names, short, strict=True):
        if output and (wanted[output] > 1 or output in reserved):
            output, number = f"{name}.jpg", 1
            while output in taken:
                number += 1
                output = f"{name}~{number}.jpg"
            taken.add(output)
        if is_photo(output.removesuffix(".jpg")):
            reserved.add(output)
        outputs.append(output)
    return outputs


def _convert_one(source: Source, entry: Entry, out_root: Path, output: str, options: ConvertOptions) -> Outcome:
    image_id = entry.image_id
    if entry.refusal is not None:  # before its name is used: a refused tar member may point outside OUT
        return Outcome(image_id, "", "failed", f"cannot be read: {entry.refusal}")
    target = out_root / output
    mark = _mark(entry, options)
    if _is_finished(target, mark) or _is_copy(target, entry):
        return Outcome(image_id, output, "skipped")
    try:
        if not target.parent.resolve().is_relative_to(out_root.resolve()):
            return Outcome(image_id, "", "failed", "output cannot be written: a link in OUT leads outside it")
        data = source.read(entry)
        plain = inflate_png(data, options.max_pixels)
        decoded = decode(plain, max_pixels=options.max_pixels, background=options.background)
        if decoded.format == "JPEG":
            _write(target, data, entry.mtime_ns)
            return Outcome(image_id, output, "copied")
        jpeg = simplejpeg.encode_jpeg(
            decoded.pixels, options.quality, "RGB", _SUBSAMPLING[options.subsampling], fastdct=False
        )
        _verify(jpeg, decoded.pixels, options.min_psnr)
        _write(target, _with_comment(jpeg, mark), None)
    except DecodeError as error:
        return Outcome(image_id, "", "failed", str(error))
    except ValueError as error:  # the encoder: a side over 65,500 pixels, or an output that does not decode
        return Outcome(image_id, "", "failed", f"cannot be encoded: {error}")
    except OSError as error:
        if error.errno not in _THIS_NAME_ONLY:
            raise  # the disk is full, or OUT is not ours to write: no other photo would fare better
        return Outcome(image_id, "", "failed", f"output cannot be written: {error.strerror}")
    return Outcome(image_id, output, "converted", ", ".join(decoded.notes))


def _verify(jpeg: bytes, original: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], min_psnr: float) -> None:
    """Raise DecodeError unless the output decodes to the original's size and to nearly its pixels."""
    again = simplejpeg.decode_jpeg(jpeg, "RGB")
    if again.shape != original.shape:
        raise DecodeError(f"output has the size {again.shape[1]}x{again.shape[0]}")
    error = cv2.norm(again, original, cv2.NORM_L2SQR) / original.size
    psnr = 10 * np.log10(255**2 / error) if error else np.inf
    if psnr < min_psnr:
        raise DecodeError(f"output differs from the original: PSNR {psnr:.1f} dB, expected {min_psnr:g}")


def _mark(entry: Entry, options: ConvertOptions) -> bytes:
    """What an output says of how it was made; the same inputs give the same bytes."""
    red, green, blue = options.background
    made = f"q{options.quality} {options.subsampling} on #{red:02x}{green:02x}{blue:02x}"
    return f"curate convert 1: {entry.size} bytes of {entry.mtime_ns}, {made}".encode()


def _with_comment(jpeg: bytes, mark: bytes) -> bytes:
    """`jpeg` with a comment segment after its first one, which JFIF wants to stay first."""
    first = 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:4] == b"\xff\xe0" else 2
    return jpeg[:first] + b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark + jpeg[first:]


def _is_finished(target: Path, mark: bytes) -> bool:
    """Whether an earlier run made this file from the same original with the same options, and it still ends whole."""
    try:
        with target.open("rb") as file:
            if mark not in file.read(256):
                return False
            file.seek(-2, os.SEEK_END)
            return file.read() == b"\xff\xd9"
    except OSError:
        return False


def _is_copy(target: Path, entry: Entry) -> bool:
    try:
        status = target.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)


def _write(target: Path, data: bytes, mtime_ns: int | None) -> None:
    """Under its final name only when whole. Raises OSError."""
    folder, name = os.path.split(target)
    unfinished = os.path.join(folder, f".{name}.part")
    try:
        try:
            _write_all(unfinished, data)
        except FileNotFoundError:  # the first photo of its folder
            os.makedirs(folder, exist_ok=True)
            _write_all(unfinished, data)
        if mtime_ns is not None:
            os.utime(unfinished, ns=(mtime_ns, mtime_ns))
        os.replace(unfinished, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)
        raise


def _write_all(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:  # one write may take less, on a disk that fills up
            rest = rest[file.write(rest) :]


def _keep_freed_memory() -> None:
    """Tell glibc not to hand a photo's buffers back to the kernel after each photo, and fault them in for the next.

    That is 600 page faults a photo of 512 px, up to a fifth of its time. Process-wide, up to 64 MiB in each arena.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def _require_apart(source_root: Path, out_root: Path) -> None:
    source, out = source_root.resolve(), out_root.resolve()
    if source.is_dir() and (out == source or source in out.parents or out in source.parents):
        raise OutputError(
            f"OUT {out_root} and ROOT {source_root} lie inside one another: choose an --out outside the originals"
        )
