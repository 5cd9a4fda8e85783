"""Converting photos of every format to JPEG, in the same tree: `ConvertRequest` -> `plan` -> `run`.

Each output is decoded again and compared with the original before it gets its name, unless the request leaves it out.
"""

import ctypes
import errno
import os
import platform
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from curate.decode import MAX_PIXELS, Colour, decode, limit_note
from curate.decode.boundary import decoder_errors
from curate.decode.inflate import inflate_png
from curate.errors import DecodeError, OutputError
from curate.listener import SILENT, Listener, progress
from curate.sources import Entry, Source, decode_name, encode_name, open_source
from curate.sources.entry import is_photo
from curate.threads import usable_cores
from manifests.csv_rows import CsvWriter
from manifests.file_names import with_suffix
from manifests.output import OutputLock, atomic, sync_file_system

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
"""Write errors that one photo's name causes, not the state of OUT."""

_MAX_NOTES = 2000
"""Bytes of the notes on a photo in the comment of its output."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_SUBSAMPLING = {"4:4:4": "444", "4:2:2": "422", "4:2:0": "420"}


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """What to convert, and how.

    Attributes:
        root: The photos: a directory or an archive. Only read.
        out: Directory of the JPEGs, apart from `root`.
        layout: Directory layout of the source, a name of `curate.sources.layouts.LAYOUTS`.
        quality: 1 to 100, as in libjpeg.
        subsampling: Chroma subsampling, "4:4:4", "4:2:2" or "4:2:0".
        background: RGB behind transparent pixels.
        min_psnr: dB; an output that differs more from the decoded original counts as failed. Photos at quality 95 have
            40 and more, a wrong channel order or damaged pixels below 20.
        verify: Decode each output again and compare it with the original; without, the encoder is trusted.
        max_pixels: Photos with more pixels are not decoded.
        workers: Threads; one per core that this process may use, at least two.

    Raises ValueError for a value out of range.
    """

    root: Path
    out: Path
    layout: str = "folder"
    quality: int = 95
    subsampling: str = "4:4:4"
    background: Colour = (255, 255, 255)
    min_psnr: float = 25.0
    verify: bool = True
    max_pixels: int = MAX_PIXELS
    workers: int = max(2, usable_cores())

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality={self.quality}: choose 1 to 100")
        if self.subsampling not in _SUBSAMPLING:
            raise ValueError(f"subsampling={self.subsampling!r}: choose {', '.join(_SUBSAMPLING)}")
        if self.workers < 1:
            raise ValueError(f"workers={self.workers}: choose 1 or more")


@dataclass(frozen=True)
class ConvertPlan:
    """A request and its opened source."""

    request: ConvertRequest
    source: Source


@dataclass(frozen=True)
class Converted:
    """Number of photos by status, and the path of the report (path, output, status, reason of each photo)."""

    counts: Counter[Status]
    report: Path

    def summary(self) -> str:
        """Describe the result in one line."""
        return ", ".join(f"{count:,} {status}" for status, count in sorted(self.counts.items())) or "no photos"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one photo: `output` is relative to OUT, "" where there is none."""

    image_id: str
    output: str
    status: Status
    reason: str = ""


def plan(request: ConvertRequest) -> ConvertPlan:
    """Open the source and check the paths. Writes nothing.

    Raises SourceError as `open_source`, and OutputError where one of ROOT and OUT contains the other.
    """
    _check_apart(request.root, request.out)
    # Identities are not used: no tree is ambiguous.
    identities = "first" if request.layout == "folder" else None
    return ConvertPlan(request, open_source(request.layout, request.root, identities))


def run(convert_plan: ConvertPlan, listener: Listener = SILENT) -> Converted:
    """Convert every photo of the source to OUT/<same path>.jpg.

    A file that is a JPEG already, by content, is copied byte for byte. A photo that cannot be read or fails
    verification is a "failed" row in OUT/convert-report.csv and no error.

    An output of an earlier run is skipped if it is whole and its JPEG comment names the same size and time of the
    original and the same options; a copy if its size and time equal the original's. The report repeats the notes on
    skipped photos, which their comments hold. Two originals that would share a name (a.png, a.bmp) keep their whole
    names: a.png.jpg, a.bmp.jpg.

    Outputs reach the disk together, before the report does: an earlier loss of power may leave some of them short or
    empty, and the next run writes these again.

    Raises OutputError where OUT cannot be written, BusyError where another run uses it.
    """
    request = convert_plan.request
    _keep_freed_memory()
    counts = Counter[Status]()
    report = request.out / REPORT
    with (
        OutputLock(request.out),
        atomic(report) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
        progress(listener, "converting", None) as advance,
    ):
        rows = CsvWriter(file, ["path", "output", "status", "reason"])
        for outcome in _outcomes(convert_plan.source, request):
            output = encode_name(os.fsencode(outcome.output))
            rows.write([outcome.image_id, output, outcome.status, outcome.reason])
            counts[outcome.status] += 1
            advance(1)
        sync_file_system(request.out)
    return Converted(counts, report)


def _outcomes(source: Source, request: ConvertRequest) -> Iterator[Outcome]:
    """Yield the outcome of each photo in the source's order; each thread works a few photos ahead."""
    with ThreadPoolExecutor(request.workers) as threads:
        pending: deque[Future[Outcome]] = deque()
        reserved: set[str] = set()
        try:
            for identity in source.identities():
                entries = source.entries(identity)
                for entry, output in zip(entries, output_names(entries, reserved), strict=True):
                    pending.append(threads.submit(_convert, source, entry, output, request))
                    if len(pending) > 4 * request.workers:
                        yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def output_names(entries: Iterable[Entry], reserved: set[str]) -> list[str]:
    """Choose the output path of each photo, relative to OUT: no two are equal; "" for a refused photo.

    a/b.png -> a/b.jpg. Where several originals have the same output, each gets its whole name + ".jpg"; if that is
    taken as well, "~2", "~3" ... precede the extension.

    Args:
        entries: The photos of one identity.
        reserved: Extended by names such as b.png.jpg, which an original of another identity in the same folder
            (b.png.png) could get too.
    """
    names = ["" if entry.refusal else os.fsdecode(decode_name(entry.image_id)) for entry in entries]
    short = [name and f"{name.rpartition('.')[0]}.jpg" for name in names]
    requested = Counter(short)
    taken = {name for name, count in requested.items() if count == 1} | reserved
    outputs = []
    for name, output in zip(names, short, strict=True):
        if output and (requested[output] > 1 or output in reserved):
            folder, slash, file = name.rpartition("/")
            output, number = folder + slash + with_suffix(file, ".jpg"), 1
            while output in taken:
                number += 1
                output = folder + slash + with_suffix(file, f"~{number}.jpg")
            taken.add(output)
        if is_photo(output.removesuffix(".jpg")):
            reserved.add(output)
        outputs.append(output)
    return outputs


def _convert(source: Source, entry: Entry, output: str, request: ConvertRequest) -> Outcome:
    image_id = entry.image_id
    if entry.refusal is not None:  # checked before the name is used: a refused tar member may lead outside OUT
        return Outcome(image_id, "", "failed", f"cannot be read: {entry.refusal}")
    target = request.out / output
    comment = _comment(entry, request)
    notes = "" if _is_copy(target, entry) else _notes_of_finished(target, comment)
    if notes is not None:
        return Outcome(image_id, output, "skipped", notes)
    try:
        if not target.parent.resolve().is_relative_to(request.out.resolve()):
            return Outcome(image_id, "", "failed", "output cannot be written: a link in OUT leads outside it")
        data = source.read(entry)
        with decoder_errors():
            plain = inflate_png(data, request.max_pixels)
        decoded = decode(plain, max_pixels=request.max_pixels, background=request.background)
        if decoded.format == "JPEG":
            _write(target, data, entry.mtime_ns)
            return Outcome(image_id, output, "copied")
        jpeg = simplejpeg.encode_jpeg(
            decoded.pixels, request.quality, "RGB", _SUBSAMPLING[request.subsampling], fastdct=False
        )
        if request.verify:
            _verify(jpeg, decoded.pixels, request.min_psnr)
        notes = ", ".join(decoded.notes)
        _write(target, _with_comment(jpeg, comment, notes), None)
    except DecodeError as error:
        return Outcome(image_id, "", "failed", str(error) + limit_note(str(error), request.max_pixels))
    except ValueError as error:  # the encoder: a side over 65,500 pixels, or an output that does not decode
        return Outcome(image_id, "", "failed", f"cannot be encoded: {error}")
    except (OutputError, OSError) as error:
        code = error.errno or 0
        if code not in _THIS_NAME_ONLY:
            raise  # the disk is full or OUT is not writable: every other photo would fail too
        return Outcome(image_id, "", "failed", f"output cannot be written: {os.strerror(code)}")
    return Outcome(image_id, output, "converted", notes)


def _verify(jpeg: bytes, original: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], min_psnr: float) -> None:
    """Raise DecodeError unless the output decodes to the original's size and, within `min_psnr`, to its pixels."""
    decoded = simplejpeg.decode_jpeg(jpeg, "RGB")
    if decoded.shape != original.shape:
        raise DecodeError(f"output has the size {decoded.shape[1]}x{decoded.shape[0]}")
    error = cv2.norm(decoded, original, cv2.NORM_L2SQR) / original.size
    psnr = 10 * np.log10(255**2 / error) if error else np.inf
    if psnr < min_psnr:
        raise DecodeError(f"output differs from the original: PSNR {psnr:.1f} dB, expected {min_psnr:g}")


def _comment(entry: Entry, request: ConvertRequest) -> bytes:
    """The JPEG comment of an output: its original's size and time, and the options; equal inputs give equal bytes."""
    red, green, blue = request.background
    options = f"q{request.quality} {request.subsampling} on #{red:02x}{green:02x}{blue:02x}"
    return f"curate convert 1: {entry.size} bytes of {entry.mtime_ns}, {options}".encode()


def _with_comment(jpeg: bytes, comment: bytes, notes: str) -> bytes:
    """Insert a comment segment, with notes behind "; "; after an APP0 segment, which JFIF requires to be the first."""
    if notes:
        comment += b"; " + notes.encode()[:_MAX_NOTES]
    first = 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:4] == b"\xff\xe0" else 2
    return jpeg[:first] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[first:]


def _notes_of_finished(target: Path, comment: bytes) -> str | None:
    """The notes of a file that an earlier run wrote from the same original with the same options, and that is whole.

    None for another file, or none.
    """
    try:
        with target.open("rb") as file:
            head = file.read(256 + _MAX_NOTES)
            start = head.find(comment)
            file.seek(-2, os.SEEK_END)
            if start < 2 or file.read() != b"\xff\xd9":
                return None
    except OSError:
        return None
    end = start - 2 + int.from_bytes(head[start - 2 : start], "big")
    return head[start + len(comment) : end].removeprefix(b"; ").decode(errors="replace")


def _is_copy(target: Path, entry: Entry) -> bool:
    try:
        status = target.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)


def _write(target: Path, data: bytes, mtime_ns: int | None) -> None:
    """Write a file, with this modification time where one is given. Raises OutputError, OSError."""
    with atomic(target, sync=False) as partial:
        partial.write_bytes(data)
        if mtime_ns is not None:
            os.utime(partial, ns=(mtime_ns, mtime_ns))


def _keep_freed_memory() -> None:
    """Make glibc keep a photo's buffers for the next photo instead of returning them to the kernel.

    Saves 600 page faults per photo of 512 px, up to a fifth of its time. Process-wide, up to 64 MiB in each arena.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def _check_apart(source_root: Path, out_root: Path) -> None:
    source, out = source_root.resolve(), out_root.resolve()
    if source.is_dir() and (out == source or source in out.parents or out in source.parents):
        raise OutputError(
            f"one of --out {out_root} and --root {source_root} contains the other: choose an --out "
            f"outside the originals"
        )
