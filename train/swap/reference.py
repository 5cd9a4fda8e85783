"""The people of `--only`: selects their faces, and no others."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ReferencePeople:
    """The people on reference photos, of which each shows one.

    names: of the photos (N,), for messages. embeddings: (N, D) of unit norm. threshold: minimum cosine of a face of
    one of these people. Only the most similar face of a photo is selected for each of them.
    """

    names: tuple[str, ...]
    embeddings: Floats
    threshold: float

    def select(self, embeddings: Floats, photo: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """For each person the most similar face of each photo where it reaches the threshold: bool (K,).

        embeddings: (K, D) of unit norm; photo: int64 (K,), the photo of each face.
        """
        cosines = embeddings @ self.embeddings.T  # (K, N)
        selected = np.zeros(len(cosines), bool)
        for index in np.unique(photo):
            rows = np.flatnonzero(photo == index)
            best = rows[cosines[rows].argmax(0)]  # (N,)
            selected[best[cosines[best, np.arange(len(best))] >= self.threshold]] = True
        return selected

    def mismatch(self, embeddings: Floats) -> str:
        """Why none of the faces of a photo, embeddings (K, D), is selected."""
        if not len(embeddings):
            return "no face"
        cosines = (embeddings @ self.embeddings.T).max(0)
        nearest = int(cosines.argmax())
        people = f"the person on {self.names[0]}" if len(self.names) == 1 else f"the {len(self.names)} people of --only"
        return f"no face of {people} (highest cosine {cosines[nearest]:.3f}, threshold {self.threshold:.3f})"
