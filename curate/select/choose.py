"""Choose photos of one person: cover pose, light and expression, far from each other, sharp and detailed.

Greedy maximisation. The gain of a photo, given those chosen before, is

    sum over axes a of  COVER[a] / (1 + n_a)          n_a: chosen photos in its cell of the axis
    + DISTANCE * min(1, d / D)                        d: distance to the nearest chosen photo
    + QUALITY * sharpness * sqrt(detail)
    - OUTLIER * min(1, max(0, (r - R90) / (R90 - R50)))
                                                      r: distance of its embedding to the person's centroid, R50 and
                                                      R90: median and 90th percentile of the person's photos

Distances d are Euclidean in the space of embedding and pose. D is the median distance of the person's photos: beyond it
nothing is gained. Coverage and distance prefer what is rare, and photos of another person that no rule has found are
rare: the last term keeps them from being preferred. The first k of N chosen photos are the choice of k.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.select.candidates import Candidates
from curate.select.cells import AXES

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

COVER = {"pose": 1.0, "light": 0.4, "expression": 0.4}
"""Weight of each axis: the gain of the first photo of a cell."""

DISTANCE = 0.7
QUALITY = 1.5
OUTLIER = 0.5

POSE_SCALE = (40.0, 25.0)
"""Degrees of yaw and of pitch that weigh as much as the median distance of two embeddings."""

_REFERENCES = 256
"""Photos, evenly spaced, whose distances give the median."""


@dataclass(frozen=True)
class Choice:
    """Photos chosen of N candidates, the most useful first.

    Attributes:
        rows: (K,) indices of the candidates.
        distance: (K,) distance to the nearest photo chosen before, in median distances; infinite for the first.
    """

    rows: Rows
    distance: Floats


def quality(faces: Candidates) -> Floats:
    """Return the quality of each face, 0-1."""
    return np.asarray(faces.sharpness * np.sqrt(faces.detail), np.float64)


def space(faces: Candidates) -> npt.NDArray[np.float32]:
    """Return the point of each face in the space of embedding and pose, (N, D + 2), in median distances."""
    spread = _median_distance(faces.vectors)
    poses = np.stack([np.nan_to_num(faces.yaw), np.nan_to_num(faces.pitch)], 1) / np.array(POSE_SCALE)
    points = np.concatenate([faces.vectors / spread, poses.astype(np.float32)], 1)
    return np.asarray(points / _median_distance(points), np.float32)


def choose(faces: Candidates, count: int) -> Choice:
    """Choose up to `count` faces of one person. The result depends on nothing but the arguments."""
    candidates = len(faces)
    count = min(count, candidates)
    points = space(faces)
    codes = [axis.code(faces) for axis in AXES]
    chosen_in = [np.zeros(len(axis.cells)) for axis in AXES]
    worth = QUALITY * quality(faces) - OUTLIER * _outlying(faces.vectors)
    nearest = np.full(candidates, np.inf)
    rows, distances = np.empty(count, np.int64), np.empty(count)
    for k in range(count):
        gain = worth + DISTANCE * np.minimum(1, nearest)
        for axis, code, counts in zip(AXES, codes, chosen_in, strict=True):
            gain += COVER[axis.name] / (1 + counts[code])
        gain[rows[:k]] = -np.inf
        best = int(np.argmax(gain))
        rows[k], distances[k] = best, nearest[best]
        for code, counts in zip(codes, chosen_in, strict=True):
            counts[code[best]] += 1
        nearest = np.minimum(nearest, np.linalg.norm(points - points[best], axis=1))
    return Choice(rows, distances)


def _outlying(vectors: npt.NDArray[np.float32]) -> Floats:
    """How far each vector is beyond the 90th percentile of the distances to their centroid, (N,) 0-1."""
    distances = np.linalg.norm(vectors - vectors.mean(0), axis=1).astype(np.float64)
    median, high = np.percentile(distances, [50, 90])
    return np.asarray(np.clip((distances - high) / max(high - median, 1e-6), 0, 1), np.float64)


def _median_distance(points: npt.NDArray[np.float32]) -> float:
    """Median distance of a photo to another; 1 where all are equal."""
    references = points[np.unique(np.linspace(0, len(points) - 1, _REFERENCES).astype(int))]
    squares = (references**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * references @ references.T, 0))
    others = distances[np.triu_indices(len(references), 1)]
    median = float(np.median(others)) if len(others) else 0.0
    return median if median > 1e-6 else 1.0
