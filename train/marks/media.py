"""Photos and videos opened for reading their marks."""

import logging
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from curate.decode import decode
from curate.decode.signatures import HEAD_BYTES, format_of
from curate.errors import DecodeError
from curate.sources.entry import MAX_FILE_BYTES
from train.marks.containers import media_type
from train.video_file import open_video_file, photo_format

Pixels = npt.NDArray[np.uint8]
Kind = Literal["photo", "video"]

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".flv"),
    *(".wmv", ".asf", ".mpg", ".mpeg", ".vob", ".m2ts", ".mts", ".ogv", ".3gp", ".3g2", ".f4v", ".mxf"),
)
_TRANSPORT_STREAM_SUFFIX, _TRANSPORT_STREAM_SYNC = ".ts", b"\x47"  # TypeScript has the same suffix
_VIDEO_SIGNATURES = (b"\x1aE\xdf\xa3", b"FLV\x01", b"RIFF")  # Matroska, WebM; FLV; AVI (WebP is a photo format)
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif")

MAX_FRAMES = 100
"""Frames of a window of a video that are decoded at most."""

MAX_WINDOWS = 5
"""Windows of a video: its beginning, and others spread evenly over the rest of a longer one."""


@dataclass(frozen=True)
class MediaFile:
    """A photo or video.

    Attributes:
        path, kind: of the file.
        data: a photo's encoded bytes; empty for a video.
        tags: a video's container metadata; empty for a photo.
    """

    path: Path
    kind: Kind
    data: bytes = b""
    tags: Mapping[str, str] = field(default_factory=dict)
    _photo: Pixels | None = None

    @property
    def can_carry_credentials(self) -> bool:
        """Whether content credentials exist for the container of this file. Raises OSError where it cannot be read."""
        return media_type(self.data or _read(self.path, HEAD_BYTES)) is not None

    def frames(self) -> Iterator[Pixels]:
        """The photo, or the first `MAX_FRAMES` frames of the video: uint8 (H, W, 3) RGB, decoded one by one.

        Raises DecodeError where no frame can be decoded; a video that is damaged further on ends there.
        """
        if self._photo is not None:
            yield self._photo
        else:
            yield from _video_frames(self.path)

    def windows(self) -> Iterator[tuple[float, Iterator[Pixels]]]:
        """The photo, or windows of the video: the second at which each begins about, and its frames as in `frames`."""
        yield 0.0, self.frames()
        if self._photo is None:
            for second in _later_seconds(self.path):
                yield second, _video_frames(self.path, second)


def _read(path: Path, size: int | None = None) -> bytes:
    """The first `size` bytes of a file, or all. Raises OSError, and DecodeError for what is no photo's file."""
    # O_NONBLOCK: opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DecodeError("not a regular file")
        if size is None and status.st_size > MAX_FILE_BYTES:
            raise DecodeError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
        return file.read() if size is None else file.read(size)


def kind_of(path: Path) -> Kind:
    """Whether a file is opened as a photo or as a video. Raises OSError or DecodeError where it cannot be read."""
    head = _read(path, HEAD_BYTES)
    if format_of(head) is not None:
        return "photo"
    if head[4:8] == b"ftyp" or head.startswith(_VIDEO_SIGNATURES) or path.suffix.lower() not in PHOTO_SUFFIXES:
        return "video"
    return "photo"


def open_media(path: Path, kind: Kind) -> MediaFile:
    """Read a photo, or the header of a video. Raises DecodeError or OSError where it is damaged or of another kind."""
    if kind == "photo":
        data = _read(path)
        return MediaFile(path, kind, data=data, _photo=decode(data).pixels)
    # FFmpeg's log lines about damaged frames would only disturb the output.
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    try:
        with open_video_file(path) as container:
            if not container.streams.video or photo_format(container) is not None:
                raise DecodeError("no video stream")
            return MediaFile(path, kind, tags=dict(container.metadata))
    except (av.error.FFmpegError, ValueError) as error:
        known = path.suffix.lower() in (*VIDEO_SUFFIXES, _TRANSPORT_STREAM_SUFFIX)
        raise DecodeError(_reason(error) if known else "neither a photo nor a video") from error


def media_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as given, and the photos and videos below each folder, recursively and sorted; hidden files are skipped."""
    for path in paths:
        if path.is_dir():
            files = (file for file in path.rglob("*") if not file.name.startswith(".") and _is_named_as_media(file))
            yield from sorted(file for file in files if file.is_file())
        else:
            yield path


def _is_named_as_media(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix == _TRANSPORT_STREAM_SUFFIX:
        try:
            return _read(file, 1) == _TRANSPORT_STREAM_SYNC
        except (OSError, DecodeError):
            return True  # its verdict says why it cannot be read
    return suffix in VIDEO_SUFFIXES + PHOTO_SUFFIXES


def _later_seconds(path: Path) -> list[float]:
    """Where the windows after the first begin; none where the first is the whole video, or its length is unknown."""
    with open_video_file(path) as container:
        stream = container.streams.video[0]
        seconds = float(container.duration / av.time_base) if container.duration else 0.0
        rate = float(stream.average_rate or 25)
    last = seconds - MAX_FRAMES / rate
    return [last * k / (MAX_WINDOWS - 1) for k in range(1, MAX_WINDOWS)] if last > MAX_FRAMES / rate else []


def _video_frames(path: Path, second: float = 0.0) -> Iterator[Pixels]:
    """At most MAX_FRAMES frames from a second on."""
    count = 0
    try:
        with open_video_file(path) as container:
            if second:
                container.seek(round(second * av.time_base))
            for frame in container.decode(video=0):
                if second and frame.time is not None and frame.time < second:
                    continue  # from the key frame before
                yield np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
                count += 1
                if count == MAX_FRAMES:
                    return
    except (av.error.FFmpegError, ValueError) as error:
        if not (count and isinstance(error, av.error.InvalidDataError)):
            raise DecodeError(_reason(error)) from error
    if not count:
        raise DecodeError("no frame can be decoded")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
