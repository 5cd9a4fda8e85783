"""AIGC metadata as a mark of the table."""

from pathlib import Path
from typing import ClassVar

from train.marks.containers import ALL_FORMATS, VIDEO_FORMATS, Container
from train.marks.mark import FileMark, MarkFinding, Provenance
from train.marks.marking import Marking
from train.marks.media import MediaFile
from train.marks.metadata.aigc import NAME, aigc_fields, from_text, to_text
from train.marks.metadata.photo_file import read_aigc, write_aigc

_LABELS = {"1": "AI-made", "2": "possibly AI-made", "3": "suspected to be AI-made"}  # GB 45438-2025


class AigcMetadata(FileMark):
    """The field AIGC with the label, the producer and the mark ID; lost in any re-encoding."""

    name: ClassVar[str] = "metadata"
    containers: ClassVar[frozenset[Container]] = ALL_FORMATS

    def __init__(self, marking: Marking) -> None:
        self._fields = aigc_fields(marking.producer, marking.mark_id, marking.label)

    def tags(self, container: Container) -> dict[str, str]:
        return {NAME: to_text(self._fields)} if container in VIDEO_FORMATS else {}

    def apply(self, path: Path, container: Container, provenance: Provenance) -> None:
        if container not in VIDEO_FORMATS:
            path.write_bytes(write_aigc(path.read_bytes(), self._fields))

    @staticmethod
    def read(file: MediaFile) -> MarkFinding:
        if file.kind == "photo":
            fields = read_aigc(file.data)
        else:
            text = next((value for key, value in file.tags.items() if key.upper() == NAME), None)
            fields = from_text(text) if text else None
        if fields is None:
            return MarkFinding(False, "no AIGC field")
        label = _LABELS.get(fields["Label"], "unknown label")
        others = (f"{key} {value}" for key, value in fields.items() if key != "Label" and value)
        summary = f"AIGC: {label}; {', '.join(others)}"
        return MarkFinding(fields["Label"] == "1", summary, dict(fields), forgeable=True)
