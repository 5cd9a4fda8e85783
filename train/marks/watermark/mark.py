"""The invisible watermark as a mark of the table."""

from dataclasses import asdict
from typing import ClassVar

from train.marks.mark import FrameMark, MarkFinding, Pixels
from train.marks.marking import Marking
from train.marks.media import MediaFile
from train.marks.watermark.reader import Reading, read_clip
from train.marks.watermark.writer import Watermark


class InvisibleWatermark(FrameMark):
    """Carries the mark ID in the pixels; survives re-encoding."""

    name: ClassVar[str] = "watermark"

    def __init__(self, marking: Marking, device: str) -> None:
        self._watermark = Watermark(marking.mark_id, device)

    def apply(self, frames: Pixels) -> Pixels:
        return self._watermark.mark(frames)

    @staticmethod
    def read(file: MediaFile, device: str) -> MarkFinding:
        reading = read_clip(file.frames(), device)
        details = {
            "detected": reading.detected,
            "id": f"{reading.mark_id:08x}" if reading.detected else None,
            "confidence": reading.confidence,
            "score": round(reading.score, 2),
            "mirrored": reading.mirrored and reading.detected,
            "crop": asdict(reading.crop) if reading.crop and reading.detected else None,
        }
        return MarkFinding(reading.detected, _summary(reading), details)


def _summary(reading: Reading) -> str:
    if not reading.detected:
        return "none detected"
    summary = f"ID {reading.mark_id:08x}, score {reading.score:.1f}, confidence {reading.confidence:.7f}"
    summary += ", mirrored" if reading.mirrored else ""
    if reading.crop is None:
        return summary
    crop = reading.crop
    return f"{summary}, cropped to {crop.width:.0%} of the width and {crop.height:.0%} of the height"
