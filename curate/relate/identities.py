"""Embeddings of identities in; their robust centres and each face's similarity to its own and to all others out.

A centre is the direction of the mean of those faces that belong together, each with a weight of 0 to 1:

- the seed is the face with the most company (soft count of the faces that look like the same person), so that the
  largest group of one person wins, even where all wrong photos together are as many;
- then the weights are refined: a face counts by its mean similarity to the others that count, itself left out.

By size: one face is its own centre and has no own similarity. Of two, each is the other's centre. Of three, the two
that agree make it. Two people in a folder: the larger group makes the centre; at a tie the one whose company is closer.
A thousand and more: company is counted against 1,024 faces spread evenly over the folder, the refinement uses all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate.similarity import Pairs

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_SAMPLE = 1024
_ROUNDS = 6


@dataclass(frozen=True)
class Centre:
    """One identity of n faces.

    `centre` (D,) unit vector, zeros without a face; `weights` (n,) 0-1; `own` (n,) cosine to the centre of the others,
    NaN for a lone face; `support` (n,) sum of the others' weights.
    """

    centre: Vectors
    weights: Floats
    own: Floats
    support: Floats


def robust_centre(vectors: Vectors, pairs: Pairs) -> Centre:
    """(n, D) unit vectors of one identity -> its Centre."""
    count = len(vectors)
    if count <= 1:
        centre = vectors[0] if count else np.zeros(vectors.shape[1], np.float32)
        ones = np.ones(count, np.float32)
        return Centre(centre, ones, np.full(count, np.nan, np.float32), 0 * ones)
    sample = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    cosine = vectors @ vectors[sample].T  # (n, sample)
    company = pairs.company(cosine)
    company[sample, np.arange(len(sample))] = 0
    seed = int(np.argmax(company.sum(axis=1)))
    weights = pairs.company(vectors @ vectors[seed])
    weights[seed] = 1
    for _ in range(_ROUNDS):
        mean = leave_one_out(vectors, weights)[1]
        # Alone among strangers the seed keeps its weight: somebody must be the centre.
        fresh = pairs.company(mean)
        if fresh.max() < 0.5:
            fresh[seed] = 1
        if np.abs(fresh - weights).max() < 1e-3:
            break
        weights = fresh
    return weighted_centre(vectors, weights)


def weighted_centre(vectors: Vectors, weights: Floats) -> Centre:
    """(n, D) unit vectors and their (n,) weights -> the Centre that these weights make."""
    total = weights @ vectors
    norm = float(np.linalg.norm(total))
    own, _ = leave_one_out(vectors, weights)
    return Centre(total / max(norm, 1e-12), weights, own, weights.sum() - weights)


def leave_one_out(vectors: Vectors, weights: Floats) -> tuple[Floats, Floats]:
    """(n, D), (n,) -> for each face, against the others as weighted: cosine to their centre, and mean cosine to them.

    Where the others weigh nothing, their plain mean stands for them.
    """
    total, mass = weights @ vectors, weights.sum()
    rest, others = total - weights[:, None] * vectors, mass - weights
    bare = others < 1e-3
    if bare.any():
        rest[bare] = vectors.sum(axis=0) - vectors[bare]
        others = np.where(bare, len(vectors) - 1, others).astype(np.float32)
    dot = np.einsum("nd,nd->n", vectors, rest)
    return (dot / np.maximum(np.linalg.norm(rest, axis=1), 1e-12)).astype(np.float32), (dot / others).astype(np.float32)


@dataclass(frozen=True)
class Others:
    """Each of n faces against all centres but its own: the nearest one's row (-1 if there is none) and cosine, and the
    mean and standard deviation of the cosines (NaN with fewer than two others)."""

    nearest: Rows
    similarity: Floats
    mean: Floats
    std: Floats

    def at(self, rows: npt.NDArray[np.bool_]) -> "Others":
        """The same, spread over more rows: the n faces stand where `rows` (m,) is True; elsewhere -1 and NaN."""
        nearest = np.full(len(rows), -1, np.int64)
        nearest[rows] = self.nearest
        spread = []
        for values in (self.similarity, self.mean, self.std):
            column = np.full(len(rows), np.nan, np.float32)
            column[rows] = values
            spread.append(column)
        return Others(nearest, *spread)


Product = Callable[[Vectors, Vectors], Vectors]
"""(n, D), (D, K) -> (n, K); numpy's own, or one that runs on a GPU."""


def nearest_others(
    vectors: npt.NDArray[np.floating],
    own: Rows,
    centres: Vectors,
    product: Product = np.matmul,
    block: int = 4096,
) -> Others:
    """(n, D) unit vectors, (n,) row of their own centre (-1: none), (K, D) centres -> Others.

    Blocks of `block` faces bound the memory: 4,096 x 9,131 cosines are 150 MB. Centres of zeros (identities without a
    face) are nobody's nearest.
    """
    count, known = len(vectors), np.linalg.norm(centres, axis=1) > 0.5
    nearest = np.full(count, -1, np.int64)
    similarity, mean, std = (np.full(count, np.nan, np.float32) for _ in range(3))
    turned = np.ascontiguousarray(centres.T)
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        cosine = product(np.asarray(vectors[rows], np.float32), turned)
        mine = own[rows]
        at = np.flatnonzero(mine >= 0)
        others = known.sum() - np.where(mine >= 0, known[mine], False)
        # A centre of zeros adds nothing to the sums; the own centre is set to zero before them.
        cosine[at, mine[at]] = 0
        with np.errstate(invalid="ignore", divide="ignore"):
            average = cosine.sum(axis=1) / others
            square = np.einsum("nk,nk->n", cosine, cosine) / others
        cosine[at, mine[at]] = -np.inf
        cosine[:, ~known] = -np.inf
        best = cosine.argmax(axis=1)
        nearest[rows] = np.where(others > 0, best, -1)
        similarity[rows] = np.where(others > 0, cosine[np.arange(len(best)), best], np.nan)
        mean[rows] = np.where(others > 0, average, np.nan)
        std[rows] = np.where(others > 1, np.sqrt(np.maximum(square - average**2, 0)), np.nan)
    return Others(nearest, similarity, mean, std)
