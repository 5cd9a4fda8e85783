"""Consent: people in exclusion galleries are refused as source and as target."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate.exclude import Gallery, match

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Consent:
    """The people who must not be swapped. `gallery`: in the embedding space of the checkpoint; has the threshold."""

    gallery: Gallery

    def refusals(self, embeddings: Floats, rows: npt.NDArray[np.int64]) -> dict[int, str]:
        """The reason of refusal for each of `rows` of embeddings (K, D) that matches a person of the gallery."""
        matches = match(embeddings[rows], self.gallery)
        return {
            int(row): f"a face matches {self.gallery.image_ids[reference]} of --exclude "
            f"(cosine {similarity:.3f}, threshold {self.gallery.threshold:.3f}), a person who must not be swapped"
            for row, reference, similarity in zip(rows, matches.reference, matches.similarity, strict=True)
            if reference >= 0
        }
