"""Robust centroid of an identity, and the leave-one-out similarity of each face to it.

The centroid is the direction of a weighted mean of the faces, with weights of 0 to 1:

- the seed is the medoid, the face with the highest soft neighbour count, so that the largest group of one person
  determines the centroid even where wrong photos are as many in total;
- the weights are then refined: the weight of a face follows from its leave-one-out mean similarity to the other
  weighted faces.

Special cases: one face is its own centroid and has no leave-one-out similarity. Of two faces, each is the centroid of
the other. Of three, the two that agree determine it. Of two people in one identity, the larger group does; at a tie,
the tighter one. Above 1,024 faces, neighbours are counted among 1,024 faces spread evenly over the identity; the
refinement uses all faces.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate.similarity import PairSimilarity

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]

_MEDOID_SAMPLE = 1024
_ROUNDS = 6
MIN_NEIGHBOUR_MASS = 1e-3
"""Sum of weights below which the other faces of an identity count equally."""


@dataclass(frozen=True)
class Centroid:
    """Centroid of one identity of n faces.

    Attributes:
        vector: (D,) unit vector; zeros without a face.
        weights: (n,) 0-1, the weight of each face in the centroid.
        own_similarity: (n,) leave-one-out cosine to the centroid; NaN for a single face.
        neighbours: (n,) soft neighbour count: the sum of the other faces' weights.
    """

    vector: Vectors
    weights: Floats
    own_similarity: Floats
    neighbours: Floats


def robust_centroid(vectors: Vectors, similarity: PairSimilarity) -> Centroid:
    """Compute the centroid of the largest group of one person among (n, D) unit vectors of one identity."""
    count = len(vectors)
    if count <= 1:
        vector = vectors[0] if count else np.zeros(vectors.shape[1], np.float32)
        ones = np.ones(count, np.float32)
        return Centroid(vector, ones, np.full(count, np.nan, np.float32), 0 * ones)
    sample = np.unique(np.linspace(0, count - 1, min(count, _MEDOID_SAMPLE)).astype(np.int64))
    matches = similarity.soft_match(vectors @ vectors[sample].T)  # (n, sample)
    matches[sample, np.arange(len(sample))] = 0
    medoid = int(np.argmax(matches.sum(axis=1)))
    weights = similarity.soft_match(vectors @ vectors[medoid])
    weights[medoid] = 1
    for _ in range(_ROUNDS):
        mean = leave_one_out(vectors, weights)[1]
        updated = similarity.soft_match(mean)
        if updated.max() < 0.5:
            # No two faces agree: the medoid keeps its weight, so that the centroid is defined.
            updated[medoid] = 1
        if np.abs(updated - weights).max() < 1e-3:
            break
        weights = updated
    return weighted_centroid(vectors, weights)


def weighted_centroid(vectors: Vectors, weights: Floats) -> Centroid:
    """Compute the centroid of (n, D) unit vectors with given (n,) weights."""
    total = weights @ vectors
    norm = float(np.linalg.norm(total))
    own_similarity, _ = leave_one_out(vectors, weights)
    return Centroid(total / max(norm, 1e-12), weights, own_similarity, weights.sum() - weights)


def leave_one_out(vectors: Vectors, weights: Floats) -> tuple[Floats, Floats]:
    """Compare each face with the weighted other faces of its identity.

    Where the others have no weight, their unweighted mean is used.

    Args:
        vectors: (n, D) unit vectors.
        weights: (n,) weights.

    Returns:
        The (n,) cosine to the centroid of the others, and the (n,) weighted mean cosine to the others.
    """
    total, mass = weights @ vectors, weights.sum()
    rest, others = total - weights[:, None] * vectors, mass - weights
    unweighted = others < MIN_NEIGHBOUR_MASS
    if unweighted.any():
        rest[unweighted] = vectors.sum(axis=0) - vectors[unweighted]
        others = np.where(unweighted, len(vectors) - 1, others).astype(np.float32)
    dot = np.einsum("nd,nd->n", vectors, rest)
    return (dot / np.maximum(np.linalg.norm(rest, axis=1), 1e-12)).astype(np.float32), (dot / others).astype(np.float32)
