"""People who must not be swapped, nor lend their identity: exclusion galleries, asked for every source and target."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate.exclude import Gallery, match

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Consent:
    """`gallery`: faces of the people who said no, in the checkpoint's own embedder; it holds the threshold."""

    gallery: Gallery

    def refusals(self, vectors: Floats, rows: npt.NDArray[np.int64]) -> dict[int, str]:
        """Faces (K, D), of which `rows` are asked about -> {row: why it is refused} for those that are."""
        found = match(vectors[rows], self.gallery)
        return {
            int(row): f"a face in it matches {self.gallery.image_ids[reference]} of --exclude "
            f"(cosine {similarity:.3f}, from {self.gallery.threshold:.3f} on), who must not be swapped"
            for row, reference, similarity in zip(rows, found.reference, found.similarity, strict=True)
            if reference >= 0
        }
