"""Similarity of each face to the centroids of all other identities: the nearest one, and the distribution of all."""

from dataclasses import dataclass

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


def other_identities(
    vectors: npt.NDArray[np.floating], own: Rows, centroids: Vectors, block: int = 512
) -> OtherIdentities:
    """Compare faces with the centroids of all other identities.

    Args:
        vectors: (n, D) unit vectors.
        own: (n,) row of each face's own centroid; -1 for none.
        centroids: (K, D) unit vectors; rows of zeros (identities without a face) are skipped.
        block: Number of faces compared at a time; 512 faces and 9,131 centroids take 19 MB, part of which stays cached.
    """
    count, defined = len(vectors), np.linalg.norm(centroids, axis=1) > 0.5
    nearest = np.full(count, -1, np.int64)
    similarity, mean, std = (np.full(count, np.nan, np.float32) for _ in range(3))
    transposed, total = np.ascontiguousarray(centroids.T), centroids.sum(0)
    undefined = np.flatnonzero(~defined)
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        part = np.asarray(vectors[rows], np.float32)
        cosine = np.matmul(part, transposed)
        own_row = own[rows]
        at = np.flatnonzero(own_row >= 0)
        others = defined.sum() - np.where(own_row >= 0, defined[own_row], False)
        # An undefined centroid adds 0 to the sums; the own one is set to 0 for them, and to -inf for the maximum.
        own_cosine = np.zeros(len(part), np.float32)
        own_cosine[at] = cosine[at, own_row[at]]
        cosine[at, own_row[at]] = 0
        with np.errstate(invalid="ignore", divide="ignore"):
            average = (part @ total - own_cosine) / others
            square = np.einsum("nk,nk->n", cosine, cosine) / others
        cosine[at, own_row[at]] = -np.inf
        if len(undefined):
            cosine[:, undefined] = -np.inf
        best = cosine.argmax(axis=1)
        nearest[rows] = np.where(others > 0, best, -1)
        similarity[rows] = np.where(others > 0, cosine[np.arange(len(best)), best], np.nan)
        mean[rows] = np.where(others > 0, average, np.nan)
        std[rows] = np.where(others > 1, np.sqrt(np.maximum(square - average**2, 0)), np.nan)
    return OtherIdentities(nearest, similarity, mean, std)
