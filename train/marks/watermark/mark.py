"""The invisible watermark as a mark of the table."""

from dataclasses import asdict
from typing import Any, ClassVar

from curate.errors import DecodeError
from train.marks.mark import FrameMark, MarkFinding, Pixels
from train.marks.marking import Marking
from train.marks.media import MAX_WINDOWS, MediaFile
from train.marks.watermark.reader import Reading, read_clip, read_upright
from train.marks.watermark.writer import Watermark


class InvisibleWatermark(FrameMark):
    """Carries the mark ID in the pixels; survives re-encoding. That of an earlier swap is replaced."""

    name: ClassVar[str] = "watermark"

    def __init__(self, marking: Marking) -> None:
        self._watermark = Watermark(marking.mark_id)

    def apply(self, frames: Pixels) -> Pixels:
        # Two marks on the same tile are equally strong, and either could be read.
        earlier = read_upright(frames) if len(frames) else None
        if earlier is not None:
            frames = Watermark(earlier).remove(frames)
        return self._watermark.mark(frames)

    @staticmethod
    def read(file: MediaFile) -> MarkFinding:
        if file.kind == "photo":
            reading, second = read_clip(file.frames()), None
        else:
            reading, second = _read_video(file)
        when = f", from second {second:.0f} on" if second else ""
        return MarkFinding(reading.detected, _summary(reading) + when, _details(reading) | {"second": second})


def _read_video(file: MediaFile) -> tuple[Reading, float | None]:
    """The first window of a video with a mark, and the second at which it begins; else the one with the best score."""
    best: Reading | None = None
    for second, frames in file.windows():
        try:
            reading = read_clip(frames, MAX_WINDOWS)
        except DecodeError:
            if best is None:
                raise
            continue  # damaged further on
        if reading.detected:
            return reading, round(second, 1)
        best = reading if best is None or reading.score > best.score else best
    assert best is not None
    return best, None


def _details(reading: Reading) -> dict[str, Any]:
    detected, placement, region = reading.detected, reading.placement, reading.region
    return {
        "detected": detected,
        "id": f"{reading.mark_id:08x}" if detected else None,
        "confidence": reading.confidence,
        "score": round(reading.score, 2),
        "mirrored": detected and placement.mirrored,
        "rotation": round(placement.rotation, 1) if detected else None,
        "tile": [round(side, 1) for side in placement.tile] if detected else None,
        "region": asdict(region) if region else None,
    }


def _summary(reading: Reading) -> str:
    region = reading.region
    if not reading.detected or region is None:
        return "none detected"
    summary = f"ID {reading.mark_id:08x}, score {reading.score:.1f}, confidence {reading.confidence:.7f}"
    summary += ", mirrored" if reading.placement.mirrored else ""
    degrees = round(reading.placement.rotation)
    summary += f", turned by {degrees} degrees" if degrees else ""
    return f"{summary}, in x {region.left} to {region.right}, y {region.top} to {region.bottom}"
