"""Rules on sharpness: faces that are blurred, and faces that only a person can judge."""

from typing import TYPE_CHECKING

import numpy as np

from curate.decide.rule import Chart, Columns, Flags, Rule, Values
from curate.decide.sharpness_limit import log_odds

if TYPE_CHECKING:
    from curate.decide.rules import Policy


REVIEW_SHIFT = 5 / 3
"""Shift of the limit of review over that of the limit of `blurred`, both in log odds. The scores of soft
faces follow those of the sharp ones of a collection, the scores of plainly blurred ones less."""


def _blurred(photos: Columns, policy: "Policy") -> Flags:
    return photos.number("sharpness") < photos.number("sharpness_limit")


def _soft(photos: Columns, policy: "Policy") -> Flags:
    sharpness, limit = photos.number("sharpness"), photos.number("sharpness_limit")
    return (sharpness >= limit) & (sharpness < review_limit(limit, policy))


def review_limit(limit: Values, policy: "Policy") -> Values:
    """Return the sharpness below which faces are reviewed, (N,), from their limits of `blurred`; see REVIEW_SHIFT."""
    if policy.review_sharpness <= policy.min_sharpness:
        return limit
    values = (policy.review_sharpness, policy.min_sharpness)
    if not all(0 < value < 1 for value in values):
        return np.full_like(limit, policy.review_sharpness)
    shift = log_odds(limit) - log_odds(policy.min_sharpness)
    odds = log_odds(policy.review_sharpness) + REVIEW_SHIFT * shift
    return np.maximum(limit, 1 / (1 + np.exp(-odds)))


BLURRED = Rule(
    "blurred",
    "the face is out of focus, motion-blurred, or enlarged from few pixels",
    ("sharpness", "sharpness_limit"),
    ("min_sharpness", "adapt_sharpness"),
    _blurred,
    shown=("sharpness",),
    charts=(Chart("sharpness", "Sharpness of the face", 0, 1, lambda p: (p.min_sharpness,)),),
)

SOFT = Rule(
    "soft",
    "the face may be blurred: it is softer than most, which the light, the skin or a small photo can cause too",
    ("sharpness", "sharpness_limit"),
    ("review_sharpness", "min_sharpness", "adapt_sharpness", "keep_review"),
    _soft,
    "review",
    shown=("sharpness",),
)
