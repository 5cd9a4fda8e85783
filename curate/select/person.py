"""What was chosen of one person: the photos with their cells, and how much of the kept photos they cover."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.select.candidates import Candidates
from curate.select.cells import AXES, gaps
from curate.select.choose import Choice, choose
from curate.select.pose_map import pose_counts
from manifests.pixels import Row

Counts = npt.NDArray[np.int64]

COLUMNS = (
    "image_id", "identity", "rank", "pose", "light", "expression", "yaw", "pitch", "brightness", "side_light",
    "mouth_open", "smile", "sharpness", "detail", "distance",
)  # fmt: skip
"""Columns of selection.csv."""

_NUMBERS = ("yaw", "pitch", "brightness", "side_light", "mouth_open", "smile", "sharpness", "detail")


@dataclass(frozen=True)
class Person:
    """The choice of one person.

    Attributes:
        name: the identity.
        kept: number of kept photos.
        choice: the chosen photos among the candidates.
        photos: rows of the manifest of the chosen photos, the most useful first.
        lines: of selection.csv.
        kept_poses, chosen_poses: photos in each cell of the pose map, (POSES,).
        covered: name of an axis -> number of its cells with a chosen photo, and with a kept one.
        gaps: turns and tilts of which no kept photo has one.
        sharpness: mean of the chosen photos.
    """

    name: str
    kept: int
    choice: Choice
    photos: list[Row]
    lines: list[tuple[object, ...]]
    kept_poses: Counts
    chosen_poses: Counts
    covered: dict[str, tuple[int, int]]
    gaps: list[str]
    sharpness: float


def choose_of(name: str, faces: Candidates, count: int) -> Person:
    """Choose `count` photos of a person."""
    choice = choose(faces, count)
    codes = {axis.name: axis.code(faces) for axis in AXES}
    poses = codes["pose"]
    return Person(
        name=name,
        kept=len(faces),
        choice=choice,
        photos=faces.rows.take(choice.rows).to_pylist(),
        lines=list(_lines(name, faces, choice, codes)),
        kept_poses=pose_counts(poses),
        chosen_poses=pose_counts(poses[choice.rows]),
        covered={axis: (len(np.unique(code[choice.rows])), len(np.unique(code))) for axis, code in codes.items()},
        gaps=gaps(poses),
        sharpness=float(faces.sharpness[choice.rows].mean()),
    )


def _lines(name: str, faces: Candidates, choice: Choice, codes: dict[str, Counts]) -> Iterator[tuple[object, ...]]:
    image_ids = faces.rows["image_id"].take(choice.rows).to_pylist()
    for rank, (row, image_id, distance) in enumerate(zip(choice.rows, image_ids, choice.distance, strict=True), 1):
        cells = [axis.cells[codes[axis.name][row]] for axis in AXES]
        numbers = [getattr(faces, number)[row] for number in _NUMBERS]
        cells_of_numbers = [float(f"{value:.4g}") if np.isfinite(value) else "" for value in (*numbers, distance)]
        yield (image_id, name, rank, *cells, *cells_of_numbers)
