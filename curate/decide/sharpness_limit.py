"""The sharpness limits of a collection: one for each size of its photos, near the policy's.

In collections of sharp faces those that a person calls blurred score higher than in collections of soft ones, whose
unblurred faces score as low; the limit follows within fixed bounds. It is anchored at the sharp faces (their upper
end), so that neither 5% nor 60% of blurred photos move it far.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from curate.counts import counted

ANCHOR = 0.93
"""Quantile of the scores that stands for the sharp faces of a group."""

REFERENCE = 1.78
"""Log odds of the anchor at which the limit is the policy's: that of aligned web photos of 112 px."""

SLOPE = 0.5
"""Shift of the limit over that of the anchor, both in log odds."""

MAX_LOWERED, MAX_RAISED = 0.6, 0.5
"""Bounds of the shift, log odds: with them the limits are .28 to .53 for a policy's .41. Anchors are .8 (thumbnails of
64 px), 1.3 (enlarged greyscale photos), 1.8 (aligned web photos of 112 px), 2.0 (web photos) and 2.4 (portraits). Below
the limit nearly all faces are ones that a person calls blurred; between it and the limit of review, blurred and merely
soft faces mix."""

MIN_FACES = 50
"""Faces from which a group has an anchor; a smaller collection is judged by the policy's limit."""

SIZE_SHARE = 0.05
"""Share of the faces from which the photos of one size are a group of their own: they come from one source, which
aligned, resized or enlarged them in one way."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class LimitGroup:
    """Photos that share a sharpness limit.

    Attributes:
        width, height: px, of every photo of the group; None for all others.
        faces: number of main faces.
        anchor: sharpness below which ANCHOR of them are; None where they are too few.
        policy_limit: the policy's.
        limit: sharpness below which a face is blurred.
    """

    width: int | None
    height: int | None
    faces: int
    anchor: float | None
    policy_limit: float
    limit: float

    def reason(self) -> str:
        """Describe the group, its limit and why it lies there, in one line."""
        photos = "photos of other sizes" if self.width is None else f"{self.width} x {self.height} px photos"
        text = f"{photos}: {self.limit:.2f}"
        if self.anchor is None:
            return f"{text}, as the policy says: {counted(self.faces, 'face', 'is', 'are')} too few to adapt it"
        return (
            f"{text} ({self.policy_limit:.2f} by the policy, shifted because {1 - ANCHOR:.0%} of their "
            f"{self.faces:,} faces score above {self.anchor:.2f})"
        )


@dataclass(frozen=True)
class SharpnessLimits:
    """The limits of a collection: of the groups with a size, and of all other photos, the last group."""

    groups: tuple[LimitGroup, ...]

    @property
    def typical(self) -> float:
        """The limit of the largest group."""
        return max(self.groups, key=lambda group: group.faces).limit

    def of(self, width: Floats, height: Floats) -> Floats:
        """Return the limit of each of N photos of these sizes, (N,) float32."""
        limits = np.full(len(width), self.groups[-1].limit, np.float32)
        for size, limit in self._by_size.items():
            limits[(width == size[0]) & (height == size[1])] = limit
        return limits

    @cached_property
    def _by_size(self) -> Mapping[tuple[int, int], float]:
        return {
            (group.width, group.height): group.limit
            for group in self.groups
            if group.width is not None and group.height is not None
        }

    def to_json(self) -> str:
        """Encode the groups as JSON."""
        return json.dumps([asdict(group) for group in self.groups])


def fixed_limit(limit: float) -> SharpnessLimits:
    """Return one limit for all photos."""
    return SharpnessLimits((LimitGroup(None, None, 0, None, limit, limit),))


def collection_limits(scores: Floats, width: Floats, height: Floats, limit: float) -> SharpnessLimits:
    """Return the limits of a collection.

    In log odds x, a group of at least MIN_FACES faces has

        limit' = limit + clamp(SLOPE (quantile(x, ANCHOR) - REFERENCE), -MAX_LOWERED, MAX_RAISED)

    Args:
        scores: (N,), sharpness of the main faces of the whole collection, 0-1; NaN is ignored.
        width, height: (N,), of their photos, px.
        limit: the policy's; 0 and 1 are not shifted.
    """
    known = np.isfinite(scores)
    scores, sizes = np.asarray(scores)[known], np.stack([width[known], height[known]], 1).astype(np.int64)
    groups = []
    rest = np.ones(len(scores), bool)
    unique, index, counts = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    for number in np.flatnonzero(counts >= max(MIN_FACES, SIZE_SHARE * len(scores))):
        members = index.reshape(-1) == number
        rest &= ~members
        groups.append(_group(scores[members], limit, int(unique[number, 0]), int(unique[number, 1])))
    groups.append(_group(scores[rest], limit, None, None))
    return SharpnessLimits(tuple(groups))


def _group(scores: Floats, limit: float, width: int | None, height: int | None) -> LimitGroup:
    if len(scores) < MIN_FACES or not 0 < limit < 1:
        return LimitGroup(width, height, len(scores), None, limit, limit)
    anchor = float(np.quantile(scores, ANCHOR))
    clipped = min(max(anchor, 1e-6), 1 - 1e-6)
    shift = SLOPE * (np.log(clipped / (1 - clipped)) - REFERENCE)
    odds = np.log(limit / (1 - limit)) + np.clip(shift, -MAX_LOWERED, MAX_RAISED)
    adapted = round(float(1 / (1 + np.exp(-odds))), 4)
    return LimitGroup(width, height, len(scores), round(anchor, 4), limit, adapted)
