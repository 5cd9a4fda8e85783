"""Similarity of each face to the centroids of all other identities: the nearest one, and the distribution of all."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OtherIdentities:
    """Similarities of n faces to the centroids of all identities but their own.

    Attributes:
        nearest: (n,) row of the nearest centroid, -1 where there is no other.
        similarity: (n,) cosine to it, NaN where there is no other.
        mean, std: (n,) of the cosines to all other centroids; NaN with no other, and for std with only one.
    """

    nearest: Rows
    similarity: Floats
    mean: Floats
    std: Floats

    def scatter(self, has_face: Flags) -> "OtherIdentities":
        """Spread the n faces over the m rows where `has_face` (m,) is True; -1 and NaN elsewhere."""
        nearest = np.full(len(has_face), -1, np.int64)
        nearest[has_face] = self.nearest
        columns = []
        for values in (self.similarity, self.mean, self.std):
            column = np.full(len(has_face), np.nan, np.float32)
            column[has_face] = values
            columns.append(column)
        return OtherIdentities(nearest, *columns)


class Comparison(Protocol):
    """Compares faces with the centroids that it was made with; `device_centroids` has one for GPUs.

    Attributes:
        centroids: (K, D) unit vectors; rows of zeros are identities without a face.
        block: number of faces to compare at a time.
    """

    centroids: Vectors
    block: int

    def __call__(self, faces: Vectors, own: Rows) -> tuple[Rows, Floats, Floats, Floats]:
        """Compare (n, D) faces whose own centroids are `own`, (n,), -1 for none.

        Returns:
            (n,) row of the nearest other centroid, (n,) cosine to it, (n,) cosine to the own one, 0 without one, and
            (n,) sum of the squared cosines to the others.
        """
        ...


class Centroids:
    """`Comparison` by numpy."""

    block = 512
    """512 faces and 9,131 centroids take 19 MB, part of which stays cached."""

    def __init__(self, centroids: Vectors) -> None:
        self.centroids = centroids
        self._transposed = np.ascontiguousarray(centroids.T)
        self._undefined = np.flatnonzero(~is_defined(centroids))

    def __call__(self, faces: Vectors, own: Rows) -> tuple[Rows, Floats, Floats, Floats]:
        cosine = np.matmul(faces, self._transposed)
        at = np.flatnonzero(own >= 0)
        # An undefined centroid adds 0 to the sums; the own one is set to 0 for them, and to -inf for the maximum.
        own_cosine = np.zeros(len(faces), np.float32)
        own_cosine[at] = cosine[at, own[at]]
        cosine[at, own[at]] = 0
        squares = np.einsum("nk,nk->n", cosine, cosine)
        cosine[at, own[at]] = -np.inf
        cosine[:, self._undefined] = -np.inf
        best = cosine.argmax(axis=1)
        return best, cosine[np.arange(len(best)), best], own_cosine, squares


def is_defined(centroids: Vectors) -> Flags:
    """Whether each of (K, D) centroids is one: unit vectors are, rows of zeros are not."""
    return np.asarray(np.linalg.norm(centroids, axis=1) > 0.5, bool)


def other_identities(vectors: npt.NDArray[np.floating], own: Rows, comparison: Comparison) -> OtherIdentities:
    """Compare faces with the centroids of all other identities.

    Args:
        vectors: (n, D) unit vectors.
        own: (n,) row of each face's own centroid; -1 for none.
        comparison: with the centroids; those of identities without a face are skipped.
    """
    centroids, block = comparison.centroids, comparison.block
    count, defined = len(vectors), is_defined(centroids)
    nearest = np.full(count, -1, np.int64)
    similarity, mean, std = (np.full(count, np.nan, np.float32) for _ in range(3))
    total = centroids.sum(0)
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        part, own_row = np.asarray(vectors[rows], np.float32), own[rows]
        others = defined.sum() - np.where(own_row >= 0, defined[own_row], False)
        best, cosine, own_cosine, squares = comparison(part, own_row)
        with np.errstate(invalid="ignore", divide="ignore"):
            average, square = (part @ total - own_cosine) / others, squares / others
        nearest[rows] = np.where(others > 0, best, -1)
        similarity[rows] = np.where(others > 0, cosine, np.nan)
        mean[rows] = np.where(others > 0, average, np.nan)
        std[rows] = np.where(others > 1, np.sqrt(np.maximum(square - average**2, 0)), np.nan)
    return OtherIdentities(nearest, similarity, mean, std)
