"""Writes videos: encoded frames, copied packets of other streams, and the marks' container metadata."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.subtitles.stream import SubtitleStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from curate.decode.signatures import HEAD_BYTES
from manifests.file_names import with_suffix
from train.errors import MarkError
from train.marks.containers import VideoFormat, media_type
from train.marks.mark import target_tag
from train.marks.metadata import avi_file
from train.swap.sound import Packet, SoundEncoder, add_copy, fits, has_decoder

Pixels = npt.NDArray[np.uint8]
CONTAINERS: dict[str, VideoFormat] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".flv": "flv",
}
"""Container of a result by the suffix of its target; others become MKV."""

_H264 = ("libx264", {"crf": "18", "preset": "medium"})
_H264_AVI = ("libx264", {**_H264[1], "bf": "0"})  # AVI has no presentation times: packets in the order of the frames
_VP9 = ("libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4"})
_CODECS = {"webm": _VP9, "avi": _H264_AVI}
_MUXER_OPTIONS: dict[VideoFormat, dict[str, str]] = {
    # Without use_metadata_tags, MP4 and MOV silently drop tags that they have no name for.
    "mp4": {"movflags": "use_metadata_tags+faststart"},
    "mov": {"movflags": "use_metadata_tags+faststart"},
    "avi": {"metadata_header_padding": str(avi_file.PADDING)},
}
_TECHNICAL_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}


@dataclass(frozen=True)
class FrameBatch:
    """Consecutive frames, upright, uint8 (H, W, 3) RGB; times and durations in units of the source's time base."""

    pixels: list[Pixels]
    pts: list[int]
    durations: list[int]


def output_name(target: Path) -> str:
    """The file name of the swapped video."""
    keeps_container = CONTAINERS.get(target.suffix.lower()) == output_format(target)
    return target.name if keeps_container else with_suffix(target.name, ".mkv")


def output_format(target: Path) -> VideoFormat:
    """The container of the swapped video."""
    container = CONTAINERS.get(target.suffix.lower(), "matroska")
    # AVI holds a frame for each interval of its time base, and so suits the times of AVI files only.
    return "matroska" if container == "avi" and not _is_avi(target) else container


def _is_avi(target: Path) -> bool:
    """Whether a file is an AVI by its content. False where it cannot be read, which opening it reports."""
    try:
        with target.open("rb") as file:
            return media_type(file.read(HEAD_BYTES)) == "video/avi"
    except OSError:
        return False


class VideoWriter:
    """Writes a video with the time base, colours and pixel shape of a source stream.

    Args:
        path: The file; its name need not have the suffix of the format.
        format: The container.
        stream: The source's video stream.
        others: The source's streams of sound and subtitles. Their packets are copied where the container takes them;
            other sound is re-encoded, other subtitles are left out.
        tags: Container metadata of the source; what a mark replaces is kept as `target_tag`.
        marks: Container metadata that the finished file must have; names in capitals.
        keep_location: The tags keep the place of the recording.
    """

    def __init__(
        self,
        path: Path,
        format: VideoFormat,
        stream: VideoStream,
        others: list[AudioStream | SubtitleStream],
        tags: Mapping[str, str],
        marks: Mapping[str, str],
        keep_location: bool = False,
    ) -> None:
        self.path, self.marks, self.notes = path, marks, list[str]()
        self._format, self._stream, self._others = format, stream, others
        self._start: Fraction | None = None
        self._end = Fraction(0)
        self._container = av.open(str(path), "w", format=format, options=_MUXER_OPTIONS.get(format, {}))
        kept = {key: value for key, value in tags.items() if key.lower() not in _TECHNICAL_TAGS}
        if not keep_location and any(_is_location(key) for key in kept):
            self.notes.append("GPS location: removed")
            kept = {key: value for key, value in kept.items() if not _is_location(key)}
        for key in [key for key in kept if key.upper() in marks]:
            value = kept.pop(key)
            # What the target declared of itself; of a swap of a swap the first target's, as in XMP.
            kept.setdefault(target_tag(key), value)
        self._container.metadata.update(kept | dict(marks))
        self._codec, self._codec_options = _CODECS.get(format, _H264)
        self._video: VideoStream | None = None
        self._copies: dict[int, AudioStream | SubtitleStream] = {}
        self._encoders: dict[int, SoundEncoder] = {}
        self._pending: deque[Packet] = deque()

    @property
    def seconds(self) -> float:
        """Duration of the frames written so far."""
        return float(self._end - (self._start or 0))

    def write_frames(self, batch: FrameBatch, first: VideoFrame) -> None:
        """Encode a batch, then copy the pending packets that begin before its end.

        first: the first frame of the source, whose colours and pixel shape all frames get.
        """
        if self._video is None:
            self._video = self._add_streams(batch.pixels[0].shape[:2], first)
        time_base = cast(Fraction, self._stream.time_base)
        for pixels, pts, duration in zip(batch.pixels, batch.pts, batch.durations, strict=True):
            frame = VideoFrame.from_ndarray(_even(pixels), format="rgb24").reformat(
                format=self._video.pix_fmt,
                dst_colorspace=first.colorspace,
                dst_color_range=first.color_range,
            )
            frame.pts, frame.duration, frame.time_base = pts, duration, time_base
            self._container.mux(self._video.encode(frame))
            self._start = pts * time_base if self._start is None else self._start
            self._end = (pts + duration) * time_base
        self._copy_packets(self._end)

    def add_packet(self, packet: Packet) -> None:
        """Add a packet of another stream; it is written when the frames have reached its time."""
        self._pending.append(packet)

    def close(self, truncated: bool) -> None:
        """Finish the file. truncated: the other streams end where the frames end.

        Raises MarkError where the finished file does not have the metadata `marks`.
        """
        assert self._video is not None
        self._copy_packets(self._end if truncated else None)
        for encoder in self._encoders.values():
            self._container.mux(encoder.finish())
            if encoder.damaged:
                self.notes.append(f"sound: {encoder.damaged} damaged packet(s) left out")
        self._container.mux(self._video.encode(None))
        self._container.close()
        with av.open(str(self.path)) as written:
            tags = {key.lower(): value for key, value in written.metadata.items()}
        lost = [key for key, value in self.marks.items() if tags.get(key.lower()) != value]
        if lost:
            raise MarkError(f"the container did not keep the mark {lost[0]!r}: choose a target in MP4, MOV or MKV")

    def release(self) -> None:
        """Close the file, finished or not."""
        self._container.close()

    def _add_streams(self, shape: tuple[int, int], first: VideoFrame) -> VideoStream:
        """Add the video stream and the others. shape: height and width of the frames."""
        context = self._stream.codec_context
        rate = self._stream.average_rate or 25
        video = self._container.add_stream(self._codec, rate=rate, options=self._codec_options)
        assert isinstance(video, VideoStream)
        video.height, video.width = (side + side % 2 for side in shape)
        if (video.height, video.width) != shape:
            self.notes.append(
                f"odd size {shape[1]}x{shape[0]}: padded to {video.width}x{video.height}, most players need even sides"
            )
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = cast(Fraction, self._stream.time_base)
        aspect = context.sample_aspect_ratio
        if aspect:
            video.codec_context.sample_aspect_ratio = 1 / aspect if shape != (first.height, first.width) else aspect
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(video.codec_context, name, getattr(first, name))
        if first.format.components and first.format.components[0].bits > 8:
            self.notes.append(f"{first.format.components[0].bits} bit: written with 8 bit")
        if self._stream.metadata.get("alpha_mode") == "1" or any(part.is_alpha for part in first.format.components):
            self.notes.append("transparency: not kept, written opaque")
        for source in self._others:
            self._add_other_stream(source)
        return video

    def _add_other_stream(self, source: AudioStream | SubtitleStream) -> None:
        if fits(source, self._format):
            added = self._copies[source.index] = add_copy(self._container, source, self._format)
        elif isinstance(source, AudioStream) and has_decoder(source):
            encoder = self._encoders[source.index] = SoundEncoder(source, self._container, self._format)
            self.notes.append(encoder.note)
            added = encoder.stream
        else:
            self.notes.append(f"{source.type} stream {source.index} does not fit into the container: left out")
            return
        added.metadata.update(source.metadata)

    def _copy_packets(self, end: Fraction | None) -> None:
        """Write the pending packets that begin before `end` (seconds), all for None, in their order."""
        later: deque[Packet] = deque()
        for packet in self._pending:
            index = packet.stream.index
            if index not in self._copies and index not in self._encoders:
                continue
            time = (packet.pts if packet.pts is not None else packet.dts or 0) * packet.time_base
            if end is not None and time >= end:
                later.append(packet)
                continue
            if index in self._encoders:
                self._container.mux(self._encoders[index].encode(packet))
            else:
                packet.stream = self._copies[index]
                self._container.mux(packet)
        self._pending = later


def _is_location(tag: str) -> bool:
    """Whether a tag of the container holds the place of the recording, as phones write it."""
    return tag.lower().startswith("location") or ".location." in tag.lower()


def _even(pixels: Pixels) -> Pixels:
    """A frame with even sides: its last row or column is repeated where a side is odd."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge") if height % 2 or width % 2 else pixels
