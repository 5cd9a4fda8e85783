"""The sharpness limits of a collection: one for each size of its photos, near the policy's.

In collections of sharp faces those that a person calls blurred score higher than in collections of soft ones, whose
unblurred faces score as low; the limit follows within fixed bounds. It is anchored at the sharp faces (their upper
end), so that neither 5% nor 60% of blurred photos move it far. The anchor of few faces is uncertain; it is drawn
towards the one that is expected of photos with so much detail.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from curate.counts import counted
from manifests.landmarks import TEMPLATES, Template

CROP = TEMPLATES["simswap-224"]
"""At the scale of this template sharpness is measured, whatever the stored crops are."""

ANCHOR = 0.93
"""Quantile of the scores of a group's sharp faces that stands for them."""

SPREAD = 1.2
"""Log odds below the anchor down to which faces count as sharp ones. Without it, the anchor falls with the share of
blurred photos."""

REFERENCE = 1.78
"""Log odds of the anchor at which the limit is the policy's: that of aligned web photos of 112 px."""

SOFTER_SLOPE, SHARPER_SLOPE = 0.3, 0.42
"""Shift of the limit over that of the anchor below and above REFERENCE, all in log odds."""

MAX_LOWERED, MAX_RAISED = 0.54, 0.3
"""Bounds of the shift, log odds: with them the limits are .29 to .48 for a policy's .41. Anchors are .7 (thumbnails of
64 px), 1.3 (enlarged greyscale photos), 1.8 (aligned web photos of 112 px), 2.0 (web photos) and 2.3 (portraits). Below
the limit nearly all faces are ones that a person calls blurred; between it and the limit of review, blurred and merely
soft faces mix."""

DETAIL_QUANTILE, EXPECTED, EXPECTED_SLOPE, EXPECTED_RANGE = 0.25, 2.85, -0.65, (0.3, 2.4)
"""Anchor that is expected of a group, log odds: EXPECTED + EXPECTED_SLOPE times this quantile of the enlargements,
limited to the range. Fitted on seven collections, people tuned on, whose anchors lie within .3 of it."""

EXPECTED_FACES = 30
"""Number of faces that the expected anchor counts as."""

MIN_FACES = 10
"""A smaller collection is judged by the policy's limit."""

SIZE_FACES, SIZE_SHARE = 20, 0.05
"""Faces, and share of all, from which the photos of one size are a group of their own: they come from one source,
which aligned, resized or enlarged them in one way."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class LimitGroup:
    """Photos that share a sharpness limit.

    Attributes:
        width, height: px, of every photo of the group; None for all others.
        faces: number of main faces.
        anchor: sharpness that stands for the sharp ones of them; None where the policy's limit applies.
        policy_limit: the policy's.
        limit: sharpness below which a face is blurred.
        expected: sharpness that `anchor` was drawn towards; None where there is no anchor.
    """

    width: int | None
    height: int | None
    faces: int
    anchor: float | None
    policy_limit: float
    limit: float
    expected: float | None = None

    def reason(self) -> str:
        """Describe the group, its limit and why it lies there, in one line."""
        photos = "photos of other sizes" if self.width is None else f"{self.width} x {self.height} px photos"
        text = f"{photos}: {self.limit:.2f}"
        if self.anchor is None:
            why = "0 and 1 are not adapted"
            if 0 < self.policy_limit < 1:
                why = f"{counted(self.faces, 'face', 'is', 'are')} too few to adapt it"
            return f"{text}, as the policy says: {why}"
        if not self.faces:
            return f"{text}, by the sharp faces of all photos; there are no such photos"
        expected = "" if self.expected is None else f"; {self.expected:.2f} is expected of such photos"
        return (
            f"{text} ({self.policy_limit:.2f} by the policy, shifted because the best {1 - ANCHOR:.0%} of the sharp "
            f"faces score above {self.anchor:.2f}, of {counted(self.faces, 'face')}{expected})"
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


def collection_limits(
    scores: Floats, width: Floats, height: Floats, enlargement: Floats, limit: float
) -> SharpnessLimits:
    """Return the limits of a collection.

    In log odds x, a group of n faces, with the anchor that is expected of it (for photos without a group of their own:
    that of the whole collection), has

        anchor = (n sharp_end(x) + EXPECTED_FACES expected) / (n + EXPECTED_FACES)
        limit' = limit + clamp(slope (anchor - REFERENCE), -MAX_LOWERED, MAX_RAISED)

    Args:
        scores: (N,), sharpness of the main faces of the whole collection, 0-1; NaN is ignored.
        width, height: (N,), of their photos, px.
        enlargement: (N,), of their photos, see `detail_enlargement`; faces without one are ignored.
        limit: the policy's; 0 and 1 are not shifted.
    """
    known = np.isfinite(scores) & np.isfinite(enlargement)
    odds, enlargement = log_odds(np.asarray(scores)[known]), np.asarray(enlargement)[known]
    sizes = np.stack([width[known], height[known]], 1).astype(np.int64)
    if len(odds) < MIN_FACES or not 0 < limit < 1:
        return SharpnessLimits((LimitGroup(None, None, len(odds), None, limit, limit),))
    groups = []
    rest = np.ones(len(odds), bool)
    unique, index, counts = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    for number in np.flatnonzero(counts >= max(SIZE_FACES, SIZE_SHARE * len(odds))):
        members = index.reshape(-1) == number
        rest &= ~members
        size = int(unique[number, 0]), int(unique[number, 1])
        groups.append(_group(size, odds[members], _expected(enlargement[members]), limit))
    whole = _expected(enlargement)
    if groups:
        whole = _anchor(odds, whole)
    groups.append(_group((None, None), odds[rest], whole, limit))
    return SharpnessLimits(tuple(groups))


def detail_enlargement(upscale: Floats, resolution: Floats, template: Template) -> Floats:
    """Return px of a crop of CROP per px of the photo that carries detail, (N,).

    Args:
        upscale: (N,), px of the stored crop per px of the photo.
        resolution: (N,), share of the photo's px that carries detail; NaN of very small photos, which are not enlarged.
        template: of the stored crops.
    """
    scale = CROP.eye_distance / template.eye_distance
    return np.asarray(scale * upscale / np.nan_to_num(resolution, nan=1.0), np.float64)


def _group(size: tuple[int, int] | tuple[None, None], odds: Floats, expected: float, limit: float) -> LimitGroup:
    anchor = _anchor(odds, expected)
    slope = SOFTER_SLOPE if anchor < REFERENCE else SHARPER_SLOPE
    shift = np.clip(slope * (anchor - REFERENCE), -MAX_LOWERED, MAX_RAISED)
    adapted = _score(float(log_odds(limit) + shift))
    width, height = size
    return LimitGroup(width, height, len(odds), _score(anchor), limit, adapted, _score(expected))


def _anchor(odds: Floats, expected: float) -> float:
    """Combine the sharp end of faces, weighted by their number, with the expected one."""
    if not len(odds):
        return expected
    return (len(odds) * sharp_end(odds) + EXPECTED_FACES * expected) / (len(odds) + EXPECTED_FACES)


def sharp_end(odds: Floats) -> float:
    """Return the ANCHOR quantile of the log odds that lie at most SPREAD below it, (N,), the lowest such one."""
    end = float(np.quantile(odds, ANCHOR))
    while (higher := float(np.quantile(odds[odds >= end - SPREAD], ANCHOR))) > end:
        end = higher
    return end


def _expected(enlargement: Floats) -> float:
    """Return the anchor that is expected of photos with these enlargements, log odds."""
    value = EXPECTED + EXPECTED_SLOPE * np.quantile(enlargement, DETAIL_QUANTILE)
    return float(np.clip(value, *EXPECTED_RANGE))


def log_odds(scores: Floats | float) -> Floats:
    """Return the log odds of scores between 0 and 1, limited to those of 1e-6 and 1 - 1e-6."""
    clipped = np.clip(np.asarray(scores, np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _score(odds: float) -> float:
    return round(float(1 / (1 + np.exp(-odds))), 4)
