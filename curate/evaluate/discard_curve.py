"""False non-match rates of the pairs that are left when photos are dropped in an order.

A pair is dropped with the first of its photos, so that its place in an order is the lower place of the two: one count
over all pairs gives the whole curve. The threshold is that of all photos and stays, as in ISO/IEC 29794-1:2024.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.errors import DatasetError

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

THRESHOLD_PHOTOS = 4_000
"""Photos, drawn at random, whose pairs of two identities set the threshold: some 8 million pairs."""

BOOTSTRAPS = 400
_INTERVAL = (0.025, 0.975)


@dataclass(frozen=True)
class Pairs:
    """N photos, compared within their identities.

    Attributes:
        threshold: Cosine from which a pair matches.
        other_pairs: Number of pairs of two identities that set the threshold.
        groups: (n,) photos of each identity that has two or more.
        missed: For each of them (n, n), which pairs are below the threshold; symmetric, without the diagonal.
        photos: N.
    """

    threshold: float
    other_pairs: int
    groups: list[Rows]
    missed: list[Flags]
    photos: int

    @property
    def identities(self) -> int:
        return len(self.groups)

    @cached_property
    def total(self) -> int:
        """Number of pairs of one identity."""
        return sum(len(group) * (len(group) - 1) // 2 for group in self.groups)

    @cached_property
    def false_non_matches(self) -> int:
        """Number of them below the threshold."""
        return sum(int(missed.sum()) // 2 for missed in self.missed)


def compare(
    vectors: Vectors,
    identity: Rows,
    fmr: float,
    random: np.random.Generator,
    place: str,
    advance: Callable[[int], None] = lambda count: None,
) -> Pairs:
    """Compare all pairs of each identity of (N, D) unit vectors with (N,) identities.

    Raises DatasetError, naming `place`, where there are fewer than 1 / fmr pairs of two identities, or none of one.
    """
    drawn = np.sort(random.permutation(len(vectors))[:THRESHOLD_PHOTOS])
    others = _other_similarities(vectors[drawn], identity[drawn])
    if len(others) * fmr < 1:
        raise DatasetError(
            f"{place}: {len(others):,} pairs of two identities are too few for a false match rate of {fmr:g}, which "
            f"takes {round(1 / fmr):,}: give a dataset with more identities or photos"
        )
    threshold = float(np.quantile(others, 1 - fmr, method="higher"))
    order = np.argsort(identity, kind="stable")
    groups, missed = [], []
    for group in np.split(order, np.flatnonzero(np.diff(identity[order])) + 1):
        if len(group) > 1:
            below = vectors[group] @ vectors[group].T < threshold
            np.fill_diagonal(below, False)
            groups.append(group)
            missed.append(below)
        advance(len(group))
    if not groups:
        raise DatasetError(f"{place}: no identity has two photos with a face that are no copies: nothing to compare")
    return Pairs(threshold, len(others), groups, missed, len(vectors))


def _other_similarities(vectors: Vectors, identity: Rows) -> Vectors:
    """Cosines of all pairs of two identities."""
    parts = []
    for row in range(len(vectors)):
        different = identity[row + 1 :] != identity[row]
        parts.append((vectors[row + 1 :] @ vectors[row])[different])
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


@dataclass(frozen=True)
class Curve:
    """FNMR at S shares of dropped photos.

    Attributes:
        shares: (S,) dropped.
        photos, pairs, missed: (S,) what is left, and the pairs of it below the threshold.
        low, high: (S,) 95% interval: over identities drawn with replacement, or over random orders.
    """

    shares: Floats
    photos: Rows
    pairs: Rows
    missed: Rows
    low: Floats
    high: Floats

    @property
    def fnmr(self) -> Floats:
        """(S,) rates; NaN where no pair is left."""
        return _rate(self.missed, self.pairs)

    @property
    def relative_area(self) -> float:
        """Mean FNMR over the shares, relative to that of all photos; 1 where dropping does not help."""
        rate = self.fnmr
        area = sum((b - a) * (rate[k] + rate[k + 1]) / 2 for k, (a, b) in enumerate(pairwise(self.shares.tolist())))
        whole = rate[0] * (self.shares[-1] - self.shares[0])
        return float(area / whole) if whole else float("nan")

    def rows(self, order: str) -> list[dict[str, Any]]:
        """Return the rows of the table of this curve."""
        names = ("share", "photos", "pairs", "false_non_matches", "fnmr", "fnmr_low", "fnmr_high")
        columns = (self.shares, self.photos, self.pairs, self.missed, self.fnmr, self.low, self.high)
        return [
            {"order": order}
            | {
                name: None if value != value else value
                for name, value in zip(names, (c[k].item() for c in columns), strict=True)
            }
            for k in range(len(self.shares))
        ]

    @classmethod
    def of_draws(cls, draws: Sequence["Curve"]) -> "Curve":
        """Average curves of random orders; their spread is the interval."""
        rates = np.stack([draw.fnmr for draw in draws])
        low, high = np.quantile(rates, _INTERVAL, axis=0)
        pairs, missed = (np.mean([getattr(draw, name) for draw in draws], axis=0) for name in ("pairs", "missed"))
        return cls(
            draws[0].shares,
            draws[0].photos,
            np.rint(pairs).astype(np.int64),
            np.rint(missed).astype(np.int64),
            low,
            high,
        )


def curve(pairs: Pairs, order: Rows, shares: Sequence[float]) -> Curve:
    """Drop photos in an order.

    Args:
        pairs: Of N photos.
        order: (N,) photos, the first to be dropped first.
        shares: Of the photos to drop, 0-1.
    """
    place = np.empty(pairs.photos, np.int64)
    place[order] = np.arange(pairs.photos)
    dropped = np.rint(np.asarray(shares) * pairs.photos).astype(np.int64)
    counts, missed = (np.zeros((pairs.identities, len(shares)), np.int64) for _ in range(2))
    for k, (group, below) in enumerate(zip(pairs.groups, pairs.missed, strict=True)):
        upper = np.triu_indices(len(group), 1)
        first = np.minimum(place[group][upper[0]], place[group][upper[1]])
        counts[k] = (first[:, None] >= dropped).sum(axis=0)
        missed[k] = (first[below[upper]][:, None] >= dropped).sum(axis=0)
    drawn = np.random.default_rng(0).multinomial(
        pairs.identities, np.full(pairs.identities, 1 / pairs.identities), BOOTSTRAPS
    )
    rates = _rate(drawn @ missed, drawn @ counts)
    low, high = np.nanquantile(np.where(np.isnan(rates), 0, rates), _INTERVAL, axis=0)
    return Curve(np.asarray(shares, float), pairs.photos - dropped, counts.sum(0), missed.sum(0), low, high)


def subset_rate(of: Curve, share: float) -> float:
    """Return the FNMR of a curve at any share, interpolated."""
    return float(np.interp(share, of.shares, of.fnmr))


def _rate(missed: Rows, pairs: Rows) -> Floats:
    return np.where(pairs > 0, missed / np.maximum(pairs, 1), np.nan)
