"""A video -> the same with swapped and marked frames: sound, timing, size and rotation as they were.

Every frame is decoded, swapped in batches, marked and encoded as H.264 (VP9 in WebM); nothing is stored between. Sound
and subtitles are copied packet by packet. Presentation times are the original's, each frame's own, so a variable frame
rate stays. A rotation that the container asks for is done to the pixels. 10-bit and HDR pixels are written with 8 bits
and the original's colour tags. MP4, MOV, MKV and WebM stay what they are, everything else becomes MKV.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from manifests.output import atomic
from train.errors import ConsentError, TargetError
from train.marks.containers import VideoFormat
from train.marks.marker import Marker
from train.swap.clip_writer import ClipWriter, Frames, Packet, Pixels
from train.swap.stages import Behind, ahead
from train.swap.swapper import Swapper

_FRAMES = 16  # of a batch
_PIXELS = 8_000_000  # of a batch, unless one frame alone has more
_DEPTH = 2  # batches that wait on either side of the networks
_CONTAINERS: dict[str, VideoFormat] = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


@dataclass(frozen=True)
class Clip:
    """What was made: the file, frames written, frames in which a face was swapped, faces swapped in all, damaged
    packets that were passed over, seconds that it lasts, whether it was stopped before its end, and what changed."""

    output: Path
    frames: int
    with_face: int
    swapped: int
    damaged: int
    seconds: float
    stopped: bool
    notes: tuple[str, ...]


def output_name(target: Path) -> str:
    """What the swapped video is called."""
    return target.name if target.suffix.lower() in _CONTAINERS else target.name + ".mkv"


def swap_video(
    target: Path,
    out: Path,
    swapper: Swapper,
    marker: Marker,
    tell: Callable[[int, int], None] = lambda frames, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Clip:
    """Swap a video into the folder `out`. `tell(frames, total)` follows it; total is 0 where the file does not say.

    When `stop` says so, the video ends with the frames that are done: whole, playable, marked, and called
    NAME.until-SECONDSs.SUFFIX, so that it is never taken for the full one; `Clip.stopped` says so.
    Raises TargetError: no video, no frame that decodes, no face in any frame. ConsentError: somebody in it must not be
    swapped. OutputError, MarkError.
    """
    try:
        source = av.open(str(target))
    except (av.FFmpegError, OSError) as error:
        raise TargetError(f"target {target}: cannot be read as a photo or video ({_words(error)})") from error
    final = out / output_name(target)
    try:
        with source, atomic(final) as partial:
            run = _Run(source, target, partial, swapper, marker)
            clip = run.work(final, tell, stop)
            if clip.stopped:
                shorter = out / f"{final.stem}.until-{clip.seconds:.1f}s{final.suffix}"
                with atomic(shorter) as named:
                    partial.replace(named)
                raise _Shorter(replace(clip, output=shorter))
    except _Shorter as stopped:  # the way out of `atomic` that leaves nothing under the full name
        return stopped.clip
    return clip


class _Shorter(Exception):
    def __init__(self, clip: Clip) -> None:
        self.clip = clip


class _Run:
    """One video on its way: reading in a thread, networks in the caller's, marking and encoding in another."""

    def __init__(self, source: InputContainer, target: Path, partial: Path, swapper: Swapper, marker: Marker) -> None:
        self.source, self.target, self.swapper, self.marker = source, target, swapper, marker
        self.stream = _video_stream(source, target)
        self.others = [stream for stream in source.streams if isinstance(stream, AudioStream | SubtitleStream)]
        container = output_format(target)
        self.writer = ClipWriter(partial, container, self.stream, source, self.others, marker.tags(container))
        self.damaged = self.frames = self.with_face = self.swapped = self.seen = 0

    def work(self, final: Path, tell: Callable[[int, int], None], stop: Callable[[], bool]) -> Clip:
        """Everything; the file is whole and checked when this returns."""
        stopped = False
        behind: Behind[Frames | Packet] = Behind(self._write, _DEPTH)
        items = ahead(self._items(), _DEPTH)
        try:
            for item in items:
                behind.put(self._swap(item) if isinstance(item, Frames) else item)
                if isinstance(item, Frames):
                    tell(self.frames, self._total())
                    stopped = stop()
                if stopped:
                    break
            behind.close()
            if not self.frames:
                raise TargetError(f"target {self.target}: no frame of it can be decoded: the video is damaged")
            if not self.swapped:
                why = "no face was found in any frame" if not self.seen else "no face in it was to be swapped"
                raise TargetError(f"target {self.target}: {why}; nothing was written")
            self.writer.close(cut=stopped)
        finally:
            items.close()  # type: ignore[attr-defined]
            behind.drop()
            self.writer.abandon()
        return Clip(
            final, self.frames, self.with_face, self.swapped, self.damaged, self.writer.seconds, stopped,
            tuple(self.writer.notes),
        )  # fmt: skip

    def _items(self) -> Iterator[Frames | Packet]:
        """Batches of frames, and between them the packets of other streams, in the file's order."""
        pixels: list[Pixels] = []
        pts: list[int] = []
        durations: list[int] = []
        step = self._step()
        most = 1
        for packet in self._packets():
            if packet.stream is not self.stream:
                if packet.dts is not None:
                    yield packet
                continue
            for frame in self._decoded(packet):
                at = frame.pts if frame.pts is not None else (pts[-1] + step if pts else self._last + step)
                if at <= self._last:  # times that do not advance: a damaged place
                    self.damaged += 1
                    continue
                self._last = at
                self.writer.first(frame)
                pixels.append(_upright(frame, self.writer.size))
                pts.append(at)
                durations.append(frame.duration or step)
                most = max(1, min(_FRAMES, _PIXELS * 3 // pixels[0].size))
                if len(pixels) >= most:
                    yield Frames(pixels, pts, durations)
                    pixels, pts, durations = [], [], []
        if pixels:
            yield Frames(pixels, pts, durations)

    _last = -(2**62)

    def _packets(self) -> Iterator[Packet]:
        try:
            yield from self.source.demux(self.stream, *self.others)
        except av.FFmpegError:  # the rest cannot be read; what came before is a video
            self.damaged += 1

    def _decoded(self, packet: Packet) -> list[VideoFrame]:
        try:
            return packet.decode()
        except av.FFmpegError:
            self.damaged += 1
            return []

    def _step(self) -> int:
        """Units of the time base from one frame to the next, where the file does not say."""
        rate = self.stream.average_rate or Fraction(25)
        return max(1, round(1 / (rate * cast(Fraction, self.stream.time_base))))

    def _total(self) -> int:
        if self.stream.frames:
            return int(self.stream.frames)
        if self.stream.duration and self.stream.average_rate and self.stream.time_base:
            return round(self.stream.duration * self.stream.time_base * self.stream.average_rate)
        return 0

    def _swap(self, frames: Frames) -> Frames:
        made = self.swapper(frames.pixels)
        for number, one in enumerate(made):
            if one.refused:
                at = float(frames.pts[number] * cast(Fraction, self.stream.time_base))
                raise ConsentError(f"target {self.target}, at {at:.1f} s: {one.reason}; nothing was written")
        self.frames += len(made)
        self.seen += sum(one.faces for one in made)
        self.with_face += sum(one.swapped > 0 for one in made)
        self.swapped += sum(one.swapped for one in made)
        return replace(frames, pixels=[one.pixels for one in made])

    def _write(self, item: Frames | Packet) -> None:
        if isinstance(item, Frames):
            item = replace(item, pixels=list(self.marker.frames(np.stack(item.pixels))))
            self.writer.frames(item)
        else:
            self.writer.packet(item)


def output_format(target: Path) -> VideoFormat:
    """The container, as FFmpeg names it, of the swapped video."""
    return _CONTAINERS.get(target.suffix.lower(), "matroska")


def _video_stream(source: InputContainer, target: Path) -> VideoStream:
    """The first stream of moving pictures; cover pictures are none."""
    for stream in source.streams.video:
        if not int(stream.disposition) & int(Disposition.attached_pic):
            stream.thread_type = "AUTO"
            return stream
    raise TargetError(f"target {target}: there is no video in it")


def _upright(frame: VideoFrame, size: tuple[int, int]) -> Pixels:
    """A frame as a player shows it, uint8 (H, W, 3). size: (width, height) that all frames get."""
    rgb = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    # `rotation` is counter-clockwise, as NumPy counts.
    return np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90))


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
