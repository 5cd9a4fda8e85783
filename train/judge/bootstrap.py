"""Bootstrap confidence intervals of means over pairs of people, and the relative reduction that tables report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

RESAMPLES = 2000
"""Resamples of an interval."""

LEVEL = 0.95
"""Share of the resamples inside of an interval."""

_BATCH = 100  # resamples weighted together, to bound the memory


@dataclass(frozen=True)
class IntervalEstimate:
    """A value with its 95% interval over people; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


def finite_or_none(value: float) -> float | None:
    """NaN, which JSON does not have, becomes None."""
    return float(value) if np.isfinite(value) else None


def percent_reduction(value: Floats, baseline: Floats) -> Floats:
    """100 (1 - value / baseline): the founding report's A (of cosine distances) and T (of times), in %."""
    return 100 * (1 - value / baseline)


def reduction_of_means(means: Floats) -> Floats:
    """`percent_reduction` of column 0 against column 1, (R, 2) -> (R,): a statistic for `bootstrap_interval`."""
    return percent_reduction(means[:, 0], means[:, 1])


def bootstrap_interval(
    columns: npt.ArrayLike,
    people: Sequence[Indices],
    statistic: Callable[[Floats], Floats] = lambda means: means[:, 0],
    *,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Bootstrap interval, by person, of a statistic of column means.

    People are drawn with replacement, and a pair is weighted by the product of the counts of its people (Owen 2007,
    "The pigeonhole bootstrap"): pairs that share a person are not treated as independent.

    Args:
        columns: (N,) or (N, K), the numbers of N pairs; rows with a NaN are left out.
        people: for each role that a person has in a pair, (N,) who it is.
        statistic: means (R, K) -> (R,).
        resamples: number of resamples R in all.

    Returns:
        (low, high); (nan, nan) where no resample differs from another: with one person, and with two where pairs are
        of two people.
    """
    rows = np.asarray(columns, np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    finite = np.isfinite(rows).all(1)
    roles = np.stack([np.asarray(role)[finite] for role in people])
    names, codes = np.unique(roles, return_inverse=True)
    codes = codes.reshape(roles.shape)
    if len(names) <= len(roles):
        return float("nan"), float("nan")
    random = np.random.default_rng(0)
    statistics = []
    for start in range(0, resamples, _BATCH):
        count = random.multinomial(len(names), np.full(len(names), 1 / len(names)), min(_BATCH, resamples - start))
        weight = np.prod([count[:, role] for role in codes], axis=0, dtype=np.float64)  # (R, N)
        # A resample of few people may have no pair at all; its mean is undefined.
        weight = weight[weight.sum(1) > 0]
        statistics.append(statistic(weight @ rows[finite] / weight.sum(1, keepdims=True)))
    low, high = np.quantile(np.concatenate(statistics), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
