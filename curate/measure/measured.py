"""`MeasuredBatch`: the result of the pipeline for one batch of photos."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.faces.faces import Faces
from curate.measure.detection import Detections
from curate.measure.photos import Photo


@dataclass(frozen=True)
class MeasuredBatch:
    """P photos and the N faces on them.

    Attributes:
        photos: all P photos, those with an error included.
        detections: turn of each photo, and why landmarks of its source were not used.
        faces: those of `detections` that can be aligned, in the order of the photos; `faces.photo` indexes `photos`.
        matrices: float64 (N, 2, 3), photo -> crop.
        columns: results of the face measures, column of FACE_NUMBERS -> (N,).
        crops: N JPEG files. masks: N PNG files with label maps.
        embeddings: float16 (N, D) of unit norm.
    """

    photos: list[Photo]
    detections: Detections
    faces: Faces
    matrices: npt.NDArray[np.float64]
    columns: dict[str, npt.NDArray[np.generic]]
    crops: list[bytes]
    masks: list[bytes]
    embeddings: npt.NDArray[np.float16]

    @classmethod
    def without_faces(cls, photos: list[Photo], detections: Detections, dim: int) -> "MeasuredBatch":
        """Return a batch in which there is no face. `dim`: D of the embedder."""
        return cls(photos, detections, Faces.empty(), np.zeros((0, 2, 3)), {}, [], [], np.zeros((0, dim), np.float16))

    def face_ids(self) -> list[str]:
        """Return `image_id#k` of each face, k counting from 0 within its photo."""
        photo = self.faces.photo
        first = np.searchsorted(photo, photo)  # (N,), index of the first face on the same photo
        return [
            f"{self.photos[index].entry.image_id}#{row - start}"
            for row, (index, start) in enumerate(zip(photo, first, strict=True))
        ]
