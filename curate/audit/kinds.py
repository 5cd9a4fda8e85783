"""KINDS: the answers of an annotator about a photo, one key each."""

from dataclasses import dataclass

RIGHT, UNCLEAR = "right", "unclear"
"""No fault; no fault that can be judged. All other kinds are noise."""


@dataclass(frozen=True)
class Kind:
    """An answer: its name, its key in the page, and what it means."""

    name: str
    key: str
    meaning: str


KINDS = (
    Kind(RIGHT, "K", "a usable photo of this person"),
    Kind("other_person", "W", "another person than the faces beside it"),
    Kind("blurred", "B", "out of focus, moved, or enlarged from few pixels"),
    Kind("covered", "O", "covered or cut off: glasses, a hand, a mask, the border"),
    Kind("damaged", "X", "damaged, stretched, too dark or too bright"),
    Kind("no_face", "F", "no face, or a drawing, a statue, a screen"),
    Kind(UNCLEAR, "Q", "cannot be judged"),
)

NOISE = tuple(kind.name for kind in KINDS if kind.name not in (RIGHT, UNCLEAR))
"""Kinds that are a fault."""
