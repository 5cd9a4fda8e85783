"""The metadata field AIGC of GB 45438-2025: its values, and its JSON text."""

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
"""The seven keys of the standard, in its order. All values are strings of printable ASCII."""

NAME = "AIGC"
"""Name of the field in the metadata of a video container, and of the property in XMP."""


def aigc_fields(producer: str, mark_id: int, visible_label: str) -> dict[str, str]:
    """The field of a result: `Label` "1" declares the content AI-made.

    The standard sets the propagator to the producer on first writing. `ProduceID` is the mark ID as 8 hexadecimal
    digits. `ReservedCode1`, which the standard leaves to the producer, records the language of the visible label.
    """
    produce_id = f"{mark_id:08x}"
    values = ("1", producer, produce_id, f"visible-label={visible_label}", producer, produce_id, "")
    return dict(zip(FIELDS, values, strict=True))


def to_text(fields: Mapping[str, str]) -> str:
    """The field as JSON, ASCII only."""
    return json.dumps(dict(fields), ensure_ascii=True, separators=(",", ":"))


def from_text(text: str) -> dict[str, str] | None:
    """Parse the JSON of a field; None where it is not an object with the standard's key `Label`.

    An object wrapped as {"AIGC": {...}}, as other writers do, is accepted. Values that are not strings are converted.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and isinstance(value.get(NAME), dict):
        value = value[NAME]
    if not isinstance(value, dict) or "Label" not in value:
        return None
    return {str(key): item if isinstance(item, str) else json.dumps(item) for key, item in value.items()}
