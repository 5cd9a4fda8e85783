"""Exclusion galleries: embeddings of people who must not be in the set; for each face the reference that it matches."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate.identities import Product

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """Reference faces: (R, D) unit vectors of the dataset's own embedder, their image_ids, the least matching cosine.

    `threshold`: take the embedder's `Calibration.far_1e4`, which 1 in 10,000 pairs of strangers exceeds, or
    higher for a large set: every face meets every reference.
    """

    vectors: Vectors
    image_ids: tuple[str, ...]
    threshold: float


@dataclass(frozen=True)
class Matches:
    """For n faces: row of the nearest reference (-1: none is near enough) and the cosine to it (whatever it is)."""

    reference: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float32]


def match(
    vectors: npt.NDArray[np.floating], gallery: Gallery, product: Product = np.matmul, block: int = 4096
) -> Matches:
    """(n, D) unit vectors against a gallery -> Matches, in blocks of `block` faces. An empty gallery matches nobody."""
    count = len(vectors)
    reference, similarity = np.full(count, -1, np.int64), np.full(count, np.nan, np.float32)
    if not len(gallery.vectors):
        return Matches(reference, similarity)
    turned = np.ascontiguousarray(gallery.vectors.T)
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        cosine = product(np.asarray(vectors[rows], np.float32), turned)
        best = cosine.argmax(axis=1)
        similarity[rows] = cosine[np.arange(len(best)), best]
        reference[rows] = np.where(similarity[rows] >= gallery.threshold, best, -1)
    return Matches(reference, similarity)
