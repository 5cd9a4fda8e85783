"""The metadata field `AIGC` after GB 45438-2025: what it says, and its text as JSON."""

import json
from collections.abc import Mapping

FIELDS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)  # fmt: skip
"""The seven keys of the standard, in its order; all their values are strings of printable ASCII."""

NAME = "AIGC"
"""The field's name in an MP4's metadata, and the property's in XMP."""


def statement(producer: str, mark_id: int, visible_label: str) -> dict[str, str]:
    """The field for content of ours: `Label` "1" is "made by AI".

    On first writing the propagator is the producer. `ProduceID` is the watermark's ID as 8 hexadecimal digits;
    `ReservedCode1`, left to the producer by the standard, records the visible label, "none" among others.
    """
    number = f"{mark_id:08x}"
    values = ("1", producer, number, f"visible-label={visible_label}", producer, number, "")
    return dict(zip(FIELDS, values, strict=True))


def to_text(fields: Mapping[str, str]) -> str:
    """The field as JSON, ASCII only."""
    return json.dumps(dict(fields), ensure_ascii=True, separators=(",", ":"))


def from_text(text: str) -> dict[str, str] | None:
    """The field of a JSON text; None where it is not an object that has the standard's `Label`.

    Other writers wrap it in {"AIGC": {...}}; that is read too. Values that are no strings become some.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(read, dict) and isinstance(read.get(NAME), dict):
        read = read[NAME]
    if not isinstance(read, dict) or "Label" not in read:
        return None
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in read.items()}
