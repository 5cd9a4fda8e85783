"""AIGC metadata as a mark of the table."""

from pathlib import Path
from typing import Any, ClassVar

from curate.errors import DecodeError
from train.errors import MarkError
from train.marks.containers import ALL_FORMATS, VIDEO_FORMATS, Container
from train.marks.mark import FileMark, MarkFinding, Provenance, target_tag
from train.marks.marking import Marking
from train.marks.media import MediaFile, open_media
from train.marks.metadata import avi_file
from train.marks.metadata.aigc import NAME, aigc_fields, from_text, to_text
from train.marks.metadata.photo_file import write_aigc
from train.marks.metadata.provenance import (
    Declarations,
    carried_packet,
    carry_texts,
    packet_of,
    read_declarations,
)
from train.marks.metadata.xmp import is_ai_source

_LABELS = {"1": "AI-made", "2": "possibly AI-made", "3": "suspected to be AI-made"}  # GB 45438-2025
_AVI_TARGET_NAME = "AIGT"
"""`target_tag(NAME)` of an AVI, whose names have four characters."""

_MAX_AVI_FIELD = avi_file.PADDING // 2  # bytes; the rest is for the other texts


class AigcMetadata(FileMark):
    """The field AIGC with the label, the producer and the mark ID; lost in any re-encoding."""

    name: ClassVar[str] = "metadata"
    containers: ClassVar[frozenset[Container]] = ALL_FORMATS

    def __init__(self, marking: Marking) -> None:
        self._fields = aigc_fields(marking.producer, marking.mark_id, marking.label)

    def tags(self, container: Container) -> dict[str, str]:
        return {NAME: to_text(self._fields)} if container in VIDEO_FORMATS - {"avi"} else {}

    def apply(self, path: Path, container: Container, provenance: Provenance) -> tuple[str, ...]:
        if container == "avi":
            return self._apply_to_avi(path, provenance.parent)
        if container in VIDEO_FORMATS:
            return ()
        data, packet, notes = path.read_bytes(), None, tuple[str, ...]()
        if provenance.parent is not None:
            try:
                target = provenance.parent.read_bytes()
            except OSError as error:
                raise MarkError(f"{provenance.parent}: {error.strerror}; the marks in it must be kept") from error
            data = carry_texts(data, target)
            target_packet = packet_of(target)
            packet, notes = carried_packet(target_packet) if target_packet else (None, ())
        path.write_bytes(write_aigc(data, self._fields, packet))
        return notes

    def _apply_to_avi(self, path: Path, target: Path | None) -> tuple[str, ...]:
        texts, field = {NAME: to_text(self._fields)}, _field_of_video(target) if target else None
        length = len(field.encode()) if field else 0
        if field and length <= _MAX_AVI_FIELD:
            texts[_AVI_TARGET_NAME] = field
        avi_file.add_texts(path, texts)
        return (f"AIGC field of the target: {length:,} bytes, not kept",) if length > _MAX_AVI_FIELD else ()

    @staticmethod
    def read(file: MediaFile) -> MarkFinding:
        if file.kind == "photo":
            declared = read_declarations(file.data)
        else:
            text = next((value for key, value in file.tags.items() if key.upper() == NAME), None)
            declared = Declarations(from_text(text) if text else None)
        parts, details = [], dict[str, Any]()
        if declared.aigc is not None:
            label = _LABELS.get(declared.aigc["Label"], "unknown label")
            others = (f"{key} {value}" for key, value in declared.aigc.items() if key != "Label" and value)
            parts.append(f"AIGC: {label}; {', '.join(others)}")
            details |= declared.aigc
        elif declared.source_type is not None:
            parts.append(f"IPTC source type {declared.source_type}")
            details["source_type"] = declared.source_type
        if declared.texts:
            parts.append(f"texts of a generator: {', '.join(declared.texts)}")
            details["generator_texts"] = list(declared.texts)
        if not parts:
            return MarkFinding(False, "no AIGC field")
        is_ai = declared.aigc["Label"] == "1" if declared.aigc else is_ai_source(declared.source_type or "")
        return MarkFinding(is_ai, "; ".join(parts), details, forgeable=True, declares_nothing=not is_ai)


def _field_of_video(path: Path) -> str | None:
    """The field that a target declares; of a swap, that of the first target."""
    try:
        tags = open_media(path, "video").tags
    except DecodeError:  # damaged; the swap used what could be decoded
        return None
    return next((tags[name] for name in (_AVI_TARGET_NAME, target_tag(NAME), NAME) if name in tags), None)
