"""Reads videos: batches of decoded frames, and the packets of sound and subtitles between them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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

from train.errors import TargetError
from train.swap.sound import Packet, has_decoder
from train.swap.video_writer import FrameBatch, Pixels
from train.video_file import open_video_file, photo_format

_BATCH_FRAMES = 16
_MAX_BATCH_PIXELS = 8_000_000  # unless a single frame has more


class VideoReader:
    """The first video stream of an open container, and its sound and subtitles.

    Raises TargetError where there is no video stream. `damaged` counts the packets and frames that could not be used.
    """

    def __init__(self, container: InputContainer, target: Path) -> None:
        self.container = container
        self.stream = _video_stream(container, target)
        self.others = [stream for stream in container.streams if isinstance(stream, AudioStream | SubtitleStream)]
        self.damaged = 0
        self.first: VideoFrame | None = None
        """The first frame; its size is that of all frames."""

    @property
    def frame_count(self) -> int | None:
        """The number of frames, estimated from the duration where the file does not store it; None where unknown."""
        if self.stream.frames:
            return int(self.stream.frames)
        if self.stream.duration and self.stream.average_rate and self.stream.time_base:
            return round(self.stream.duration * self.stream.time_base * self.stream.average_rate)
        return None

    def seconds(self, pts: int) -> float:
        """The time of a presentation time stamp."""
        return float(pts * cast(Fraction, self.stream.time_base))

    def items(self) -> Iterator[FrameBatch | Packet]:
        """Batches of frames, and the packets of the other streams, in the order of the file.

        What cannot be decoded is skipped and counted, as are frames whose time stamps do not increase.
        """
        pixels: list[Pixels] = []
        pts: list[int] = []
        durations: list[int] = []
        interval = self._frame_interval()
        last: int | None = None
        for packet in self._packets():
            if packet.stream is not self.stream:
                if packet.dts is not None:
                    yield packet
                continue
            for frame in self._decode(packet):
                time = self._time(frame)
                if time is None:
                    time = 0 if last is None else last + interval
                if last is not None and time <= last:
                    self.damaged += 1
                    continue
                last = time
                if self.first is None:
                    self.first = frame
                pixels.append(_upright(frame, (self.first.width, self.first.height)))
                pts.append(time)
                durations.append(frame.duration or interval)
                if len(pixels) >= max(1, min(_BATCH_FRAMES, _MAX_BATCH_PIXELS * 3 // pixels[0].size)):
                    yield FrameBatch(pixels, pts, durations)
                    pixels, pts, durations = [], [], []
        if pixels:
            yield FrameBatch(pixels, pts, durations)

    def _packets(self) -> Iterator[Packet]:
        try:
            yield from self.container.demux(self.stream, *self.others)
        except av.FFmpegError:  # the rest is unreadable; what precedes is a video
            self.damaged += 1

    def _decode(self, packet: Packet) -> list[VideoFrame]:
        try:
            return packet.decode()
        except av.FFmpegError:
            self.damaged += 1
            return []

    def _time(self, frame: VideoFrame) -> int | None:
        """The time stamp of a frame: that of presentation, in AVI that of decoding; None where there is none.

        AVI stores no presentation times, and those that FFmpeg derives for H.264 are out of order.
        """
        return frame.dts if self.container.format.name == "avi" else frame.pts

    def _frame_interval(self) -> int:
        """From one frame to the next, in units of the time base, for frames without times."""
        rate = self.stream.average_rate or Fraction(25)
        return max(1, round(1 / (rate * cast(Fraction, self.stream.time_base))))


@contextmanager
def open_video(target: Path) -> Iterator[InputContainer]:
    """Context manager: open a video. Raises TargetError where it cannot be read, or is no video."""
    with ExitStack() as stack:
        try:
            container = stack.enter_context(open_video_file(target))
        except (av.FFmpegError, ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise TargetError(
                f"target {target}: cannot be read as a photo or video ({reason}): give a JPEG, PNG or WebP, or a video "
                "in MP4, MOV, MKV, WebM or AVI"
            ) from error
        name = photo_format(container)
        if name is not None:
            raise TargetError(
                f"target {target}: a photo of a format that is not supported ({name}): convert it to JPEG or PNG first"
            )
        yield container


def _video_stream(container: InputContainer, target: Path) -> VideoStream:
    """The first video stream that is not a cover picture."""
    for stream in container.streams.video:
        if int(stream.disposition) & int(Disposition.attached_pic):
            continue
        if not has_decoder(stream):
            raise TargetError(
                f"target {target}: there is no decoder for the codec of its video stream: convert it to H.264 first"
            )
        stream.thread_type = "AUTO"
        return stream
    raise TargetError(f"target {target}: no video stream in it: give a photo, a video or a folder of photos")


def _upright(frame: VideoFrame, size: tuple[int, int]) -> Pixels:
    """A frame as players show it, uint8 (H, W, 3) RGB. size: width and height before the rotation."""
    rgb = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    # `rotation` is counter-clockwise, as in NumPy.
    return np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90))
