"""Distances between the distributions of features of swaps and of real photos: FID and KID, with jackknife intervals.

The features are those of `Measured.features`, not Inception's, so that values compare with each other only. Each is
standardised by its mean and deviation over the real photos.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.judge.bootstrap import IntervalEstimate, finite_or_none

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

FEATURES = "mean and deviation of the 32 feature maps of the built-in segmenter's first stage"
"""Description of the features, for summaries."""

MIN_HALVES = 100
"""Photos below which the distance of two halves is too uncertain to be given."""

_Z = 1.96  # deviations of a 95% interval
_GROUPS = 40  # of people in the jackknife, at most


@dataclass(frozen=True)
class Distribution:
    """Distances of swaps to real photos.

    Attributes:
        fid: Frechet distance; biased upwards in small samples.
        kid: kernel distance, unbiased; 0 for equal distributions, and at times a little below.
        swaps, photos: numbers of images.
    """

    fid: IntervalEstimate
    kid: IntervalEstimate
    swaps: int
    photos: int


def compare(swaps: Floats, swap_people: Codes, photos: Floats, photo_people: Codes) -> Distribution:
    """Compare the features of swaps with those of real photos.

    Args:
        swaps: (N, F).
        swap_people: (N, R) the people of each swap: target and source.
        photos: (M, F).
        photo_people: (M,).
    """
    # Centred too: the cubic kernel of KID would be dominated by the mean of features that are all positive.
    mean, scale = photos.mean(0), photos.std(0) + 1e-9
    x, y = (swaps - mean) / scale, (photos - mean) / scale

    def estimate(distance: Callable[[Floats, Floats], float]) -> IntervalEstimate:
        if min(len(x), len(y)) < 2:
            return IntervalEstimate(None, None, None)
        # Jackknife over groups of people (Efron 1981): the spread of the values without one group each.
        people = np.unique(photo_people)
        without = []
        for group in np.array_split(people, min(len(people), _GROUPS)):
            rows, photo_rows = ~np.isin(swap_people, group).any(1), ~np.isin(photo_people, group)
            if rows.sum() > 1 and photo_rows.sum() > 1:
                without.append(distance(x[rows], y[photo_rows]))
        value = distance(x, y)
        if len(without) < 3:
            return IntervalEstimate(finite_or_none(value), None, None)
        error = np.sqrt((len(without) - 1) * np.var(without))
        return IntervalEstimate(
            finite_or_none(value), finite_or_none(value - _Z * error), finite_or_none(value + _Z * error)
        )

    return Distribution(estimate(frechet_distance), estimate(kernel_distance), len(x), len(y))


def halves_distance(photos: Floats) -> float:
    """Frechet distance between two random halves of real photos, which is 0 but for the bias of small samples."""
    order = np.random.default_rng(0).permutation(len(photos))
    x = photos / (photos.std(0) + 1e-9)
    return frechet_distance(x[order[::2]], x[order[1::2]])


def frechet_distance(x: Floats, y: Floats) -> float:
    """|mu_x - mu_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)) (Heusel et al. 2017); x (N, F), y (M, F)."""
    c_x, c_y = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(c_x)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    # (C_x C_y)^(1/2) and (C_x^(1/2) C_y C_x^(1/2))^(1/2) have the same trace.
    trace = np.sqrt(np.linalg.eigvalsh(root @ c_y @ root).clip(0)).sum()
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(c_x) + np.trace(c_y) - 2 * trace)


def kernel_distance(x: Floats, y: Floats) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (a.b / F + 1)^3 (Binkowski et al. 2018)."""

    def kernel(a: Floats, b: Floats) -> Floats:
        return np.asarray((a @ b.T / a.shape[1] + 1) ** 3, np.float64)

    def within(a: Floats) -> float:
        k = kernel(a, a)
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())
