"""Exclusion gallery: reference embeddings of people who must not be in the set, and the matching of faces with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.errors import SourceError

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """Reference faces of excluded people.

    Attributes:
        vectors: (R, D) unit vectors of the dataset's own embedder.
        image_ids: One per reference.
        threshold: Minimum cosine of a match. The embedder's `Calibration.far_1e4`, which 1 in 10,000 pairs of
            different persons exceeds, or higher for a large set: every face is compared with every reference.
    """

    vectors: Vectors
    image_ids: tuple[str, ...]
    threshold: float


def check_galleries(paths: Sequence[Path]) -> None:
    """Raise SourceError where a gallery is not there, before anything slow begins."""
    for path in paths:
        if not path.exists():
            raise SourceError(f"--exclude {path} does not exist: give a folder of photos, or a curated dataset")


@dataclass(frozen=True)
class Matches:
    """Nearest references of n faces: the (n,) row, -1 below the threshold, and the (n,) cosine in any case."""

    reference: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float32]


def match(vectors: npt.NDArray[np.floating], gallery: Gallery, block: int = 4096) -> Matches:
    """Compare (n, D) unit vectors with a gallery, `block` faces at a time. An empty gallery matches no face."""
    count = len(vectors)
    reference, similarity = np.full(count, -1, np.int64), np.full(count, np.nan, np.float32)
    if not len(gallery.vectors):
        return Matches(reference, similarity)
    transposed = np.ascontiguousarray(gallery.vectors.T)
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        cosine = np.matmul(np.asarray(vectors[rows], np.float32), transposed)
        best = cosine.argmax(axis=1)
        similarity[rows] = cosine[np.arange(len(best)), best]
        reference[rows] = np.where(similarity[rows] >= gallery.threshold, best, -1)
    return Matches(reference, similarity)
