"""`Faces`: the faces of a batch of photos, from the detector to the swap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces import align
from curate.faces.align import Matrices, Photo
from curate.faces.embedder import Embedder
from manifests.landmarks import Template


@dataclass(frozen=True)
class Faces:
    """N faces of a batch of photos, in the order of the photos, the largest face of a photo first.

    Attributes:
        photo: int64 (N,), index of the photo in its batch.
        box: float32 (N, 4), x0, y0, x1, y1 in px of the photo; may reach beyond its edge.
        landmarks: float32 (N, 5, 2), px of the photo; order and pixel convention as in manifests/landmarks.py.
        score: float32 (N,), the detector's probability of a face; NaN where the source supplied the face.
    """

    photo: npt.NDArray[np.int64]
    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.photo)

    @classmethod
    def empty(cls) -> "Faces":
        """Return no faces: every array has length 0."""
        floats = np.zeros(0, np.float32)
        return cls(np.zeros(0, np.int64), floats.reshape(0, 4), floats.reshape(0, 5, 2), floats)

    @classmethod
    def concat(cls, parts: Sequence["Faces"]) -> "Faces":
        """Concatenate faces of one batch of photos, in the order of `parts`."""
        parts = [cls.empty(), *parts]
        return cls(
            np.concatenate([part.photo for part in parts]),
            np.concatenate([part.box for part in parts]),
            np.concatenate([part.landmarks for part in parts]),
            np.concatenate([part.score for part in parts]),
        )

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Faces":
        """Return the faces selected by a boolean mask (N,) or by indices."""
        return Faces(self.photo[rows], self.box[rows], self.landmarks[rows], self.score[rows])

    def in_photo(self, index: int) -> "Faces":
        """Return the faces of one photo of the batch."""
        return self.take(self.photo == index)

    def with_photos(self, photos: npt.ArrayLike) -> "Faces":
        """Return the same faces with photo k renamed to `photos[k]`: the indices of a part in its whole batch."""
        photo = np.asarray(photos, np.int64)[self.photo]
        return Faces(photo, self.box, self.landmarks, self.score)

    def largest(self) -> "Faces":
        """Return the largest face of each photo that has one."""
        return self.take(np.unique(self.photo, return_index=True)[1])

    def alignable(self) -> "Faces":
        """Return the faces whose landmarks determine a similarity transform: finite and not all equal."""
        return self.take(align.is_alignable(self.landmarks))

    def matrices(self, template: Template) -> Matrices:
        """Source-to-crop similarity transforms, float64 (N, 2, 3); NaN for faces that are not alignable."""
        return align.fit(self.landmarks, template)[0]

    def crop(self, photos: Sequence[Photo], template: Template, device: str | torch.device = "cpu") -> Tensor:
        """Align the faces: uint8 (N, 3, h, w) RGB on `device`, black beyond the photo.

        Args:
            photos: the batch that `photo` indexes, uint8 (H, W, 3) RGB of any sizes.
            template: geometry and size of the crops.
            device: where the crops are returned; they are warped on the CPU and equal on every device.
        """
        return align.warp(photos, self.photo, self.matrices(template), template.size, device)

    def embed(self, photos: Sequence[Photo], embedder: Embedder, device: str | torch.device = "cpu") -> Tensor:
        """Embed the faces, each aligned to the embedder's own template: float32 (N, D) of unit norm."""
        return embedder.embed(self.crop(photos, embedder.template, device)).float()
