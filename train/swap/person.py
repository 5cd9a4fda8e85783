"""A person by their embedding: which faces are theirs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Person:
    """Who `--only` names. vector: (D,) of unit norm; threshold: the least cosine of a face that may be theirs.

    The threshold is the one that 1 in 100 pairs of strangers exceeds: of one photo only the face most alike counts.
    """

    name: str
    vector: Floats
    threshold: float

    def chosen(self, vectors: Floats, photo: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Faces (K, D) of photos (K,) -> bool (K,): in each photo the face most alike, where it is alike enough."""
        cosine = vectors @ self.vector
        mine = np.zeros(len(cosine), bool)
        for index in np.unique(photo):
            rows = np.flatnonzero(photo == index)
            best = rows[cosine[rows].argmax()]
            mine[best] = cosine[best] >= self.threshold
        return mine

    def missing(self, vectors: Floats) -> str:
        """Why none of a photo's faces (K, D) is theirs."""
        if not len(vectors):
            return "no face"
        best = float((vectors @ self.vector).max())
        return (
            f"nobody in it is the person on {self.name} (most alike: cosine {best:.3f}, {self.threshold:.3f} is needed)"
        )
