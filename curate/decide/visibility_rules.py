"""Rules on what of a face the photo shows: faces cut off by its border, and faces that something covers."""

from typing import TYPE_CHECKING

import numpy as np

from curate.decide.rule import Chart, Columns, Flags, Rule
from manifests.schema import LANDMARKS

if TYPE_CHECKING:
    from curate.decide.rules import Policy


def _cut_off(photos: Columns, policy: "Policy") -> Flags:
    outside = np.zeros_like(photos.number("inside"))
    for x, y in zip(LANDMARKS[::2], LANDMARKS[1::2], strict=True):
        # The photo's pixels cover -0.5 to side - 0.5.
        beyond_x = (photos.number(x) < -0.5) | (photos.number(x) > photos.number("width") - 0.5)
        beyond_y = (photos.number(y) < -0.5) | (photos.number(y) > photos.number("height") - 0.5)
        outside += beyond_x | beyond_y
    return np.asarray((photos.number("inside") < policy.min_inside) | (outside > policy.max_landmarks_outside))


def _occluded(photos: Columns, policy: "Policy") -> Flags:
    return (
        (photos.number("eyes_covered") > policy.max_eyes_covered)
        | (photos.number("mouth_covered") > policy.max_mouth_covered)
        | (photos.number("sunglasses") > policy.max_sunglasses)
    )


CUT_OFF = Rule(
    "cut_off",
    "the border of the photo cuts the face off",
    ("inside", "width", "height", *LANDMARKS),
    ("min_inside", "max_landmarks_outside"),
    _cut_off,
    shown=("inside",),
    charts=(Chart("inside", "Share of the crop inside the photo", 0, 1, lambda p: (p.min_inside,)),),
)

OCCLUDED = Rule(
    "occluded",
    "the eyes or the mouth are covered, or behind dark glasses",
    ("eyes_covered", "mouth_covered", "sunglasses"),
    ("max_eyes_covered", "max_mouth_covered", "max_sunglasses"),
    _occluded,
    shown=("sunglasses", "eyes_covered", "mouth_covered"),
    charts=(
        Chart("eyes_covered", "Share of the eyes' zones that is covered", 0, 1, lambda p: (p.max_eyes_covered,)),
        Chart("mouth_covered", "Share of the mouth's zone that is covered", 0, 1, lambda p: (p.max_mouth_covered,)),
        Chart("sunglasses", "Dark glasses", 0, 1, lambda p: (p.max_sunglasses,)),
    ),
)
