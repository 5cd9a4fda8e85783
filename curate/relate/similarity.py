"""Pairs of photos: how alike two of the same person and two of different persons are, by calibration and as found."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_PRIOR_PAIRS = 200.0
_MOST_PAIRS = 200_000


@dataclass(frozen=True)
class Pairs:
    """How alike two photos are: cosine (mean, standard deviation) for the same person and for two persons.

    The fields of `curate.faces.weights.Calibration` that are needed here.
    """

    same_mean: float
    same_std: float
    different_mean: float
    different_std: float

    @property
    def boundary(self) -> float:
        """Cosine at which a pair is as many standard deviations from either mean."""
        return (self.same_mean * self.different_std + self.different_mean * self.same_std) / (
            self.same_std + self.different_std
        )

    def company(self, cosine: Floats) -> Floats:
        """Cosines of pairs -> 0-1, how much one counts as the other's company: 0.5 at the boundary."""
        steepness = (self.same_mean - self.different_mean) / (self.same_std**2 + self.different_std**2) * 2
        logit = np.clip(steepness * (cosine - self.boundary), -30, 30)
        return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float32)


GENERIC = Pairs(same_mean=0.55, same_std=0.15, different_mean=0.03, different_std=0.1)
"""Where an embedder has no calibration: what networks trained with a margin on angles (ArcFace and its kin) show."""


def estimate_pairs(vectors: Vectors, identity: Rows, prior: Pairs) -> Pairs:
    """(N, D) unit vectors, (N,) identities, ascending -> Pairs as this sample shows them; `prior` counts as 200 pairs.

    Different persons are pairs from two identities, drawn evenly. Pairs within an identity are a mixture of the same
    person and of two (wrong photos), taken apart by EM with the different ones known. Deterministic.
    """
    different = _cross_pairs(vectors, identity)
    mean, std = _blend(different, np.ones(len(different)), prior.different_mean, prior.different_std)
    within = _within_pairs(vectors, identity)
    same_mean, same_std, share = prior.same_mean, prior.same_std, 0.8
    for _ in range(50):
        same = share * _density(within, same_mean, same_std)
        other = (1 - share) * _density(within, mean, std)
        weight = same / np.maximum(same + other, 1e-30)
        before = same_mean
        same_mean, same_std = _blend(within, weight, prior.same_mean, prior.same_std)
        share = (weight.sum() + 0.8 * _PRIOR_PAIRS) / (len(within) + _PRIOR_PAIRS)
        if abs(same_mean - before) < 1e-5:
            break
    # People who look alike can make the two blur; then the calibration is the better guide.
    return Pairs(same_mean, same_std, mean, std) if same_mean > mean + std else prior


def _cross_pairs(vectors: Vectors, identity: Rows) -> Floats:
    count = len(vectors)
    if count < 2:
        return np.empty(0, np.float32)
    # Every row against rows at fixed distances: cheap, even, and the same in every run.
    steps = np.unique(np.linspace(1, count - 1, min(16, count - 1)).astype(np.int64))
    found = []
    for step in steps:
        other = (np.arange(count) + step) % count
        apart = identity != identity[other]
        found.append(np.einsum("nd,nd->n", vectors[apart], vectors[other[apart]]))
    return np.concatenate(found)[:_MOST_PAIRS]


def _within_pairs(vectors: Vectors, identity: Rows) -> Floats:
    """Cosines of pairs one to eight rows apart within an identity, so that large folders do not speak for all."""
    found = [np.empty(0, np.float32)]
    for step in range(1, min(9, len(vectors))):
        alike = np.flatnonzero(identity[step:] == identity[:-step])
        found.append(np.einsum("nd,nd->n", vectors[alike], vectors[alike + step]))
    return np.concatenate(found)[:_MOST_PAIRS]


def _blend(values: Floats, weights: npt.NDArray[np.floating], mean: float, std: float) -> tuple[float, float]:
    mass = weights.sum() + _PRIOR_PAIRS
    centre = (weights @ values + _PRIOR_PAIRS * mean) / mass
    square = (weights @ (values - centre) ** 2 + _PRIOR_PAIRS * std**2) / mass
    return float(centre), float(np.sqrt(square))


def _density(values: Floats, mean: float, std: float) -> npt.NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((values - mean) / std) ** 2) / std, dtype=np.float64)
