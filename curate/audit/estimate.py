"""Shares of a population from a stratified sample, with 95% intervals, and the agreement of two annotators.

In strata h of N_h photos, n_h are judged and x_h of them have the property. With W_h = N_h / N, the estimate is

    y = sum_h W_h x_h / n_h

The interval is that of Clopper and Pearson (Biometrika 26, 1934) with the effective counts that Fay and Feuer
(Statistics in Medicine 16, 1997) give a sum of counts of weights w_h = W_h / n_h: with v = sum_h w_h^2 x_h, y counts
like y^2 / v finds in y / v trials, and the upper limit adds one find of the largest weight. In one stratum, and in
strata that are sampled in proportion to their sizes, it is the interval of Clopper and Pearson itself. The sample is
taken as small beside the population; where it is not, the interval is wider than need be.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALPHA = 0.05
"""One less the confidence of intervals."""

_ITERATIONS, _EPSILON, _TINY = 1000, 1e-14, 1e-300


@dataclass(frozen=True)
class Stratum:
    """Photos of a stratum: those in the population, the judged ones, and those of them that have the property."""

    size: int
    judged: int
    found: int


@dataclass(frozen=True)
class Share:
    """An estimated share, 0-1, its 95% interval, and the number of judged photos that have the property."""

    share: float
    low: float
    high: float
    found: int


def estimate(strata: Sequence[Stratum], alpha: float = ALPHA) -> Share:
    """Estimate the share of a population. Every stratum that is not empty must have a judged photo."""
    strata = [stratum for stratum in strata if stratum.size]
    total = sum(stratum.size for stratum in strata)
    if not total:
        return Share(math.nan, 0.0, 1.0, 0)
    weights = [stratum.size / total / stratum.judged for stratum in strata]
    counts = list(zip(weights, (stratum.found for stratum in strata), strict=True))
    y = sum(weight * found for weight, found in counts)
    variance = sum(weight * weight * found for weight, found in counts)
    found = sum(stratum.found for stratum in strata)
    low = beta_quantile(alpha / 2, *_effective(y, variance, 1)) if found else 0.0
    largest = max(weights)
    high = 1.0
    if found < sum(stratum.judged for stratum in strata):
        high = beta_quantile(1 - alpha / 2, *_effective(y + largest, variance + largest * largest, 1))
    return Share(y, min(low, y), max(high, y), found)


def _effective(y: float, variance: float, rest: float) -> tuple[float, float]:
    """Parameters of the beta distribution of y^2 / v finds in y / v trials."""
    finds, trials = y * y / variance, y / variance
    return finds, max(trials - finds + rest, _EPSILON)


def kappa(first: Mapping[int, str], second: Mapping[int, str]) -> tuple[float, int, float]:
    """Return Cohen's kappa of two annotators, the number of photos that both judged, and the share judged alike.

    kappa = (p_o - p_e) / (1 - p_e), with the share p_o judged alike, and p_e that of two annotators who answer at
    random with their own frequencies (J. Cohen, "A coefficient of agreement for nominal scales", 1960). 1 where both
    gave one and the same answer throughout; NaN without a photo that both judged.
    """
    both = sorted(first.keys() & second.keys())
    if not both:
        return math.nan, 0, math.nan
    alike = sum(first[key] == second[key] for key in both) / len(both)
    answers = {*(first[key] for key in both), *(second[key] for key in both)}
    chance = (
        sum(
            sum(first[key] == answer for key in both) * sum(second[key] == answer for key in both) for answer in answers
        )
        / len(both) ** 2
    )
    return (alike - chance) / (1 - chance) if chance < 1 else 1.0, len(both), alike


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the quantile of the beta distribution with parameters a, b > 0."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beta_cdf(middle, a, b) < probability else (low, middle)
    return (low + high) / 2


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    # Lentz's method
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _ITERATIONS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _nonzero(1 + numerator * d)
            c = _nonzero(1 + numerator / c)
            value *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return front * value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
