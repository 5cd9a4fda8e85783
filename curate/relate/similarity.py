"""Cosine similarity of photo pairs: its distribution for one person and for two persons, calibrated and estimated."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.faces.weights import REGISTRY

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_PRIOR_PAIRS = 200.0
_MAX_PAIRS = 200_000
_PRIOR_SAME_SHARE = 0.8
_EM_ROUNDS = 50


@dataclass(frozen=True)
class PairSimilarity:
    """Cosine similarity of two photos, mean and standard deviation: of the same person, and of different persons.

    A subset of the fields of `curate.faces.weights.Calibration`.
    """

    same_mean: float
    same_std: float
    different_mean: float
    different_std: float

    @property
    def boundary(self) -> float:
        """Cosine that is the same number of standard deviations away from both means."""
        return (self.same_mean * self.different_std + self.different_mean * self.same_std) / (
            self.same_std + self.different_std
        )

    def soft_match(self, cosine: Floats) -> Floats:
        """Degree (0-1) to which pairs with these cosines show one person: logistic, 0.5 at the boundary."""
        steepness = (self.same_mean - self.different_mean) / (self.same_std**2 + self.different_std**2) * 2
        logit = np.clip(steepness * (cosine - self.boundary), -30, 30)
        return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float32)


GENERIC = PairSimilarity(same_mean=0.55, same_std=0.15, different_mean=0.03, different_std=0.1)
"""Used for an embedder without a calibration: typical of networks trained with an angular margin (ArcFace)."""


def calibrated(embedder: str | None) -> PairSimilarity:
    """Return the calibration of an embedder in the weights table, `GENERIC` where it has none."""
    calibration = REGISTRY[embedder].calibration if embedder in REGISTRY else None
    if calibration is None:
        return GENERIC
    return PairSimilarity(
        calibration.same_mean, calibration.same_std, calibration.different_mean, calibration.different_std
    )


def estimate_similarity(vectors: Vectors, identity: Rows, prior: PairSimilarity) -> PairSimilarity:
    """Estimate the distributions from a sample of a collection. Deterministic.

    Pairs of different persons are drawn evenly from pairs of two identities. Pairs within an identity are a mixture of
    same-person pairs and different-person pairs (label noise), separated by EM with the latter distribution fixed.

    Args:
        vectors: (N, D) unit vectors.
        identity: (N,) identities, ascending.
        prior: Counts as 200 pairs of either kind; returned unchanged where the two estimates overlap.
    """
    different = _pairs_across(vectors, identity)
    mean, std = _posterior(different, np.ones(len(different)), prior.different_mean, prior.different_std)
    within = _pairs_within(vectors, identity)
    same_mean, same_std, share = prior.same_mean, prior.same_std, _PRIOR_SAME_SHARE
    for _ in range(_EM_ROUNDS):
        same = share * _density(within, same_mean, same_std)
        other = (1 - share) * _density(within, mean, std)
        weight = same / np.maximum(same + other, 1e-30)
        previous = same_mean
        same_mean, same_std = _posterior(within, weight, prior.same_mean, prior.same_std)
        share = (weight.sum() + _PRIOR_SAME_SHARE * _PRIOR_PAIRS) / (len(within) + _PRIOR_PAIRS)
        if abs(same_mean - previous) < 1e-5:
            break
    # In a collection of people who resemble each other EM cannot separate the two; the calibration is more reliable.
    return PairSimilarity(same_mean, same_std, mean, std) if same_mean > mean + std else prior


def _pairs_across(vectors: Vectors, identity: Rows) -> Floats:
    """Cosines of pairs from two identities: each row against the rows at up to 16 fixed offsets."""
    count = len(vectors)
    if count < 2:
        return np.empty(0, np.float32)
    offsets = np.unique(np.linspace(1, count - 1, min(16, count - 1)).astype(np.int64))
    cosines = []
    for offset in offsets:
        other = (np.arange(count) + offset) % count
        apart = identity != identity[other]
        cosines.append(np.einsum("nd,nd->n", vectors[apart], vectors[other[apart]]))
    return np.concatenate(cosines)[:_MAX_PAIRS]


def _pairs_within(vectors: Vectors, identity: Rows) -> Floats:
    """Cosines of pairs within an identity, one to eight rows apart, which bounds the share of large identities."""
    cosines = [np.empty(0, np.float32)]
    for offset in range(1, min(9, len(vectors))):
        alike = np.flatnonzero(identity[offset:] == identity[:-offset])
        cosines.append(np.einsum("nd,nd->n", vectors[alike], vectors[alike + offset]))
    return np.concatenate(cosines)[:_MAX_PAIRS]


def _posterior(values: Floats, weights: npt.NDArray[np.floating], mean: float, std: float) -> tuple[float, float]:
    """Weighted mean and standard deviation of `values` with `_PRIOR_PAIRS` pseudo-observations of the prior."""
    mass = weights.sum() + _PRIOR_PAIRS
    centre = (weights @ values + _PRIOR_PAIRS * mean) / mass
    square = (weights @ (values - centre) ** 2 + _PRIOR_PAIRS * std**2) / mass
    return float(centre), float(np.sqrt(square))


def _density(values: Floats, mean: float, std: float) -> npt.NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((values - mean) / std) ** 2) / std, dtype=np.float64)
