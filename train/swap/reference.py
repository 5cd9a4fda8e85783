"""The reference person of `--only`: selects the faces of one person."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ReferencePerson:
    """The person on a reference photo.

    name: of the photo, for messages. embedding: (D,) of unit norm. threshold: minimum cosine of a face of this person;
    1 in 100 pairs of different people exceeds it, but only the most similar face of a photo is selected.
    """

    name: str
    embedding: Floats
    threshold: float

    def select(self, embeddings: Floats, photo: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """The most similar face of each photo where it reaches the threshold: bool (K,).

        embeddings: (K, D) of unit norm; photo: int64 (K,), the photo of each face.
        """
        cosine = embeddings @ self.embedding
        selected = np.zeros(len(cosine), bool)
        for index in np.unique(photo):
            rows = np.flatnonzero(photo == index)
            best = rows[cosine[rows].argmax()]
            selected[best] = cosine[best] >= self.threshold
        return selected

    def mismatch(self, embeddings: Floats) -> str:
        """Why none of the faces of a photo, embeddings (K, D), is selected."""
        if not len(embeddings):
            return "no face"
        best = float((embeddings @ self.embedding).max())
        return f"no face of the person on {self.name} (highest cosine {best:.3f}, threshold {self.threshold:.3f})"
