"""AXES: what a selection covers, and the cells into which each axis divides the photos of a person."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from curate.select.candidates import Candidates

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

YAW_EDGES = (-40.0, -25.0, -10.0, 10.0, 25.0, 40.0)
"""Degrees between the columns of a pose map. Five landmarks resolve no more beyond 60 degrees."""

PITCH_EDGES = (-18.0, -6.0, 6.0, 18.0)
"""Degrees between the rows of a pose map."""

YAW_NAMES = ("far left", "left", "half left", "ahead", "half right", "right", "far right")
"""Columns of a pose map, from low yaw to high: where the head is turned to in the image."""

PITCH_NAMES = ("far down", "down", "level", "up", "far up")
"""Rows of a pose map, from low pitch to high."""

POSES = len(YAW_NAMES) * len(PITCH_NAMES)
"""Cells of a pose map."""

DIM, BRIGHT = 100.0, 170.0
"""Median luma of a face below which it is dim, and from which it is bright."""

SIDE_LIGHT = 0.4
"""log2 of the ratio of both sides of the face from which the light comes from one side (1.3 to 1)."""

LEVEL_NAMES, SIDE_NAMES = ("dim", "medium", "bright"), ("from the left", "even", "from the right")
"""Cells of light: the level, then the side."""

SMILE = 0.8
"""Standard deviations of mouth corners moved out and up from which a face smiles."""

MOUTH_OPEN = 0.12
"""Share of lips and mouth between the lips from which a mouth is open."""

MAX_SMILE_YAW = 40.0
"""Degrees of yaw beyond which the corners of a mouth do not show whether it smiles."""


@dataclass(frozen=True)
class Axis:
    """One thing that a selection covers.

    Attributes:
        name: unique.
        cells: names of the cells, in the order of their codes.
        code: candidates -> (N,) code of the cell of each; a missing number belongs to a cell of usual photos.
    """

    name: str
    cells: tuple[str, ...]
    code: "Callable[[Candidates], Codes]"


def pose_code(yaw: Floats, pitch: Floats) -> Codes:
    """Return the cell of a pose map of each photo: row * columns + column, rows and columns from the lowest angle."""
    column = np.searchsorted(YAW_EDGES, np.nan_to_num(yaw), side="right")
    row = np.searchsorted(PITCH_EDGES, np.nan_to_num(pitch), side="right")
    return np.asarray(row * len(YAW_NAMES) + column, np.int64)


def _light_code(faces: "Candidates") -> Codes:
    level = np.where(faces.brightness < DIM, 0, np.where(faces.brightness >= BRIGHT, 2, 1))
    side = np.where(faces.side_light < -SIDE_LIGHT, 0, np.where(faces.side_light > SIDE_LIGHT, 2, 1))
    return np.asarray(3 * level + side, np.int64)


def _expression_code(faces: "Candidates") -> Codes:
    smiles = (faces.smile >= SMILE) & (np.abs(faces.yaw) <= MAX_SMILE_YAW)
    return np.asarray(2 * (faces.mouth_open >= MOUTH_OPEN) + smiles, np.int64)


AXES: Sequence[Axis] = (
    Axis(
        "pose",
        tuple(f"{row}, {column}" for row in PITCH_NAMES for column in YAW_NAMES),
        lambda faces: pose_code(faces.yaw, faces.pitch),
    ),
    Axis(
        "light",
        tuple(f"{level}, {side}" for level in LEVEL_NAMES for side in SIDE_NAMES),
        _light_code,
    ),
    Axis("expression", ("mouth closed", "smile, closed", "mouth open", "smile, open"), _expression_code),
)  # fmt: skip


def gaps(codes: Codes) -> list[str]:
    """Name the turns and tilts of which no photo has one of the pose `codes` of a person, in words.

    A whole column or row of the pose map that is empty is one gap.
    """
    counts = np.bincount(codes, minlength=POSES).reshape(len(PITCH_NAMES), len(YAW_NAMES))
    columns = [f"turned {name}" for name, photos in zip(YAW_NAMES, counts.sum(axis=0), strict=True) if not photos]
    rows = [f"tilted {name}" for name, photos in zip(PITCH_NAMES, counts.sum(axis=1), strict=True) if not photos]
    return [name.replace("turned ahead", "ahead").replace("tilted level", "level") for name in columns + rows]
