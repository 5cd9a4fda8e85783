"""Swaps videos: swapped and marked frames, with sound, timing, size and rotation of the original.

Every frame is decoded, swapped in batches with landmarks smoothed over time, marked and encoded as H.264 (VP9 in WebM);
nothing is stored in between.
Sound and subtitles are copied packet by packet; sound that the container does not take is re-encoded. Each frame keeps
its presentation time, so variable frame rates are kept. Rotation metadata is applied to the pixels, odd sides get one
pixel more. 10-bit and HDR pixels are written with 8 bits and the original's colour tags; transparency and the place of
the recording are not kept. MP4, MOV, MKV, WebM, AVI and FLV keep their container, everything else becomes MKV.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from curate.errors import DecodeError
from curate.listener import SILENT, Listener, progress
from manifests.file_names import with_suffix
from manifests.output import atomic
from train.errors import ConsentError, TargetError
from train.marks.mark import Provenance
from train.marks.marker import Marker
from train.marks.media import open_media
from train.swap.background import BackgroundWorker, prefetch
from train.swap.results import Result, Results, sha256_of
from train.swap.smoothing import LandmarkSmoother
from train.swap.sound import Packet
from train.swap.swapper import Swapper
from train.swap.video_reader import VideoReader, open_video
from train.swap.video_writer import FrameBatch, VideoWriter, output_format, output_name

_DEPTH = 2  # batches that wait before and behind the networks


@dataclass(frozen=True)
class SwappedVideo:
    """The result of swapping a video.

    Attributes:
        output: The file.
        frames: Frames written.
        frames_with_face: Frames in which a face was swapped.
        swapped: Faces swapped in all frames.
        damaged: Packets and frames that were skipped because they are damaged.
        seconds: Duration.
        interrupted: The video ends before the original.
        notes: What the file does not keep of the original.
    """

    output: Path
    frames: int
    frames_with_face: int
    swapped: int
    damaged: int
    seconds: float
    interrupted: bool
    notes: tuple[str, ...]


def swap_video(
    target: Path,
    out: Path,
    swapper: Swapper,
    marker: Marker,
    listener: Listener = SILENT,
    interrupted: Callable[[], bool] = lambda: False,
    *,
    sources: tuple[Path, ...] = (),
    keep_location: bool = False,
    results: Results | None = None,
) -> SwappedVideo:
    """Swap a video into the folder `out`.

    sources: the photos of the identity, for the content credentials. keep_location: keep the place of the recording in
    the metadata. results: where the result is recorded.

    When `interrupted` returns True, the video ends with the frames done so far: complete, playable, marked, and named
    NAME.until-SECONDSs.SUFFIX, so that it cannot be mistaken for the full one.

    Raises:
        TargetError: Not a video, no frame can be decoded, no face was swapped, or the file changed meanwhile.
        ConsentError: A person in the exclusion galleries is in the video.
        MarkError: The container does not keep the marks.
        OutputError: `out` cannot be written.
    """
    final = out / output_name(target)
    sha256 = sha256_of(target) if results is not None and target.is_file() else ""
    try:
        with open_video(target) as source, atomic(final) as partial:
            reader = VideoReader(source, target)
            video = _VideoSwap(reader, target, partial, swapper, marker, keep_location).run(listener, interrupted)
            container = output_format(target)
            target_marks = _marks_of(target, marker)
            marks = {**marker.marks_of_files(sources), target: target_marks}
            not_kept = marker.seal(partial, Provenance(target, sources, marks), container)
            video = replace(video, notes=(*video.notes, *not_kept))
            shorter = out / with_suffix(final.stem, f".until-{video.seconds:.1f}s{final.suffix}")
            if results is not None:
                if sha256_of(target) != sha256:
                    raise TargetError(f"target {target}: it was changed while it was read; nothing was written")
                name = (shorter if video.interrupted else final).name
                results.add(name, Result.of(target.name, sha256, partial, target_marks, not_kept))
            if video.interrupted:
                with atomic(shorter) as named:
                    partial.replace(named)
                raise _InterruptedVideo(replace(video, output=shorter))
    except _InterruptedVideo as stop:  # leaves `atomic` without a file under the full name
        return stop.video
    return replace(video, output=final)


def _marks_of(target: Path, marker: Marker) -> dict[str, str]:
    """The marks of a target video, or why they cannot be read: damage does not stop its swap."""
    try:
        return marker.marks_of(open_media(target, "video"))
    except DecodeError as error:
        return {"unreadable": str(error)}


class _InterruptedVideo(Exception):
    def __init__(self, video: SwappedVideo) -> None:
        self.video = video


class _VideoSwap:
    """One video: decoded in one thread, swapped in the calling thread, marked and encoded in another."""

    def __init__(
        self,
        reader: VideoReader,
        target: Path,
        partial: Path,
        swapper: Swapper,
        marker: Marker,
        keep_location: bool,
    ) -> None:
        self.reader, self.target, self.partial = reader, target, partial
        self.swapper, self.marker = swapper, marker
        container = output_format(target)
        self.writer = VideoWriter(
            partial,
            container,
            reader.stream,
            reader.others,
            reader.container.metadata,
            marker.tags(container),
            keep_location,
        )
        self.smoother = LandmarkSmoother()
        self.frames = self.frames_with_face = self.faces = self.swapped = 0

    def run(self, listener: Listener, interrupted: Callable[[], bool]) -> SwappedVideo:
        """Swap the video; on return the file is complete and checked."""
        stop = False
        writer: BackgroundWorker[FrameBatch | Packet] = BackgroundWorker(self._write, _DEPTH)
        items = prefetch(self.reader.items(), _DEPTH)
        with progress(listener, "swapping", self.reader.frame_count, "frames") as advance:
            try:
                for item in items:
                    if isinstance(item, FrameBatch):
                        writer.put(self._swap(item))
                        advance(len(item.pixels))
                        stop = interrupted()
                    else:
                        writer.put(item)
                    if stop:
                        break
                writer.close()
                self._require_swapped()
                self.writer.close(truncated=stop)
            finally:
                items.close()  # type: ignore[attr-defined]
                writer.cancel()
                self.writer.release()
        return SwappedVideo(
            output=self.partial,
            frames=self.frames,
            frames_with_face=self.frames_with_face,
            swapped=self.swapped,
            damaged=self.reader.damaged,
            seconds=self.writer.seconds,
            interrupted=stop,
            notes=tuple(self.writer.notes),
        )

    def _require_swapped(self) -> None:
        if not self.frames:
            raise TargetError(f"target {self.target}: the video is damaged, no frame can be decoded")
        if not self.swapped:
            reason = "none of the faces in it was swapped" if self.faces else "no face was found in any frame"
            raise TargetError(f"target {self.target}: {reason}; nothing was written")

    def _swap(self, batch: FrameBatch) -> FrameBatch:
        seconds = [self.reader.seconds(pts) for pts in batch.pts]
        results = self.swapper(batch.pixels, partial(self.smoother, seconds))
        for pts, result in zip(batch.pts, results, strict=True):
            if result.refused:
                raise ConsentError(
                    f"target {self.target}, at {self.reader.seconds(pts):.1f} s: {result.reason}; nothing was written"
                )
        self.frames += len(results)
        self.faces += sum(result.faces for result in results)
        self.frames_with_face += sum(result.swapped > 0 for result in results)
        self.swapped += sum(result.swapped for result in results)
        return replace(batch, pixels=[result.pixels for result in results])

    def _write(self, item: FrameBatch | Packet) -> None:
        if isinstance(item, FrameBatch):
            assert self.reader.first is not None
            marked = self.marker.frames(np.stack(item.pixels))
            self.writer.write_frames(replace(item, pixels=list(marked)), self.reader.first)
        else:
            self.writer.add_packet(item)
