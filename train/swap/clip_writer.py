"""Frames and copied packets -> a video file, with the marks' metadata, checked when it is closed."""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet as AnyPacket
from av.subtitles.stream import SubtitleStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from train.errors import MarkError

Pixels = npt.NDArray[np.uint8]

_H264 = ("libx264", {"crf": "18", "preset": "medium"})
_VP9 = ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4"})
if TYPE_CHECKING:
    Packet = AnyPacket[Any]  # generic in PyAV's stubs only
else:
    Packet = AnyPacket
_TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}


@dataclass(frozen=True)
class Frames:
    """Consecutive frames, upright, uint8 (H, W, 3) RGB; times and durations in units of the source's time base."""

    pixels: list[Pixels]
    pts: list[int]
    durations: list[int]


class ClipWriter:
    """Writes `path` in the container `format`, timed like `stream` of `source`, with copies of `others`' packets.

    `marks`: container metadata that must be in the file in the end.
    """

    def __init__(
        self,
        path: Path,
        format: str,
        stream: VideoStream,
        source: InputContainer,
        others: list[AudioStream | SubtitleStream],
        marks: dict[str, str],
    ) -> None:
        self.path, self.marks, self.notes = path, marks, list[str]()
        self.size = (stream.codec_context.width, stream.codec_context.height)
        self._stream, self._last_end = stream, Fraction(0)
        self._started: Fraction | None = None
        self._like: VideoFrame | None = None
        # use_metadata_tags: without it MP4 loses every tag that it has no name of its own for, and says nothing.
        options = {"movflags": "use_metadata_tags+faststart"} if format in ("mp4", "mov") else {}
        self._container = av.open(str(path), "w", format=format, options=options)
        kept = {key: value for key, value in source.metadata.items() if key.lower() not in _TECHNICAL}
        self._container.metadata.update(kept | marks)
        self._codec, self._options = _VP9 if format == "webm" else _H264
        self._video: VideoStream | None = None
        self._others = others
        self._copies: dict[int, AudioStream | SubtitleStream] = {}
        self._waiting: deque[Packet] = deque()

    @property
    def seconds(self) -> float:
        """How long what was written lasts."""
        return float(self._last_end - (self._started or 0))

    def first(self, frame: VideoFrame) -> None:
        """Take colours, size and pixel shape from the first frame; later ones change nothing."""
        if self._like is None:
            self.size = (frame.width, frame.height)
            self._like = frame

    def frames(self, batch: Frames) -> None:
        """Encode a batch, then the waiting packets that belong before its end."""
        if self._video is None:
            self._video = self._begin(batch.pixels[0].shape[:2])
        assert self._like is not None
        base = cast(Fraction, self._stream.time_base)
        for pixels, pts, duration in zip(batch.pixels, batch.pts, batch.durations, strict=True):
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format=self._video.pix_fmt,
                dst_colorspace=self._like.colorspace,
                dst_color_range=self._like.color_range,
            )
            frame.pts, frame.duration, frame.time_base = pts, duration, base
            self._container.mux(self._video.encode(frame))
            self._started = pts * base if self._started is None else self._started
            self._last_end = (pts + duration) * base
        self._copy(self._last_end)

    def packet(self, packet: Packet) -> None:
        """Keep a packet of another stream until the frames have come as far."""
        self._waiting.append(packet)

    def close(self, cut: bool) -> None:
        """Finish the file: with `cut`, other streams end where the frames do. Raises MarkError, see `marks`."""
        assert self._video is not None
        self._copy(self._last_end if cut else None)
        self._container.mux(self._video.encode(None))
        self._container.close()
        with av.open(str(self.path)) as written:
            found = {key.lower(): value for key, value in written.metadata.items()}
        lost = [key for key, value in self.marks.items() if found.get(key.lower()) != value]
        if lost:
            raise MarkError(f"the container did not keep the mark {lost[0]!r}: choose a target in MP4, MOV or MKV")

    def abandon(self) -> None:
        """Let go of the file, finished or not."""
        self._container.close()

    def _begin(self, shape: tuple[int, int]) -> VideoStream:
        """Add the streams; shape: height and width of the frames."""
        like, context = self._like, self._stream.codec_context
        assert like is not None
        made = self._container.add_stream(self._codec, rate=self._stream.average_rate or 25, options=self._options)
        assert isinstance(made, VideoStream)
        made.height, made.width = shape
        # Half-size chroma wants even sides.
        made.pix_fmt = "yuv420p" if shape[0] % 2 == shape[1] % 2 == 0 else "yuv444p"
        made.time_base = made.codec_context.time_base = cast(Fraction, self._stream.time_base)
        aspect = context.sample_aspect_ratio
        if aspect:
            made.codec_context.sample_aspect_ratio = 1 / aspect if shape != (like.height, like.width) else aspect
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(made.codec_context, name, getattr(like, name))
        if like.format.components and like.format.components[0].bits > 8:
            self.notes.append(f"{like.format.components[0].bits} bit: written with 8 bit")
        for other in self._others:
            try:
                copy = self._container.add_stream_from_template(other)
            except (ValueError, av.FFmpegError):
                self.notes.append(f"{other.type} stream {other.index} does not fit into the container: left out")
                continue
            copy.metadata.update(other.metadata)
            self._copies[other.index] = copy
        return made

    def _copy(self, until: Fraction | None) -> None:
        """Write waiting packets that begin before `until` (s), all for None; packets stay in their order."""
        left: deque[Packet] = deque()
        for packet in self._waiting:
            copy = self._copies.get(packet.stream.index)
            if copy is None:
                continue
            when = (packet.pts if packet.pts is not None else packet.dts or 0) * packet.time_base
            if until is not None and when >= until:
                left.append(packet)
                continue
            packet.stream = copy
            self._container.mux(packet)
        self._waiting = left
