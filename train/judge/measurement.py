"""What is measured of a face on a crop: the judges' embeddings, landmarks, parts of the face, and texture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings
from curate.faces.segment import CLASSES, Segmenter
from train.judge.judge import Judge

Pixels = npt.NDArray[np.uint8]

PARTS = (("l_eye",), ("r_eye",), ("l_brow", "r_brow"), ("u_lip", "l_lip"), ("mouth",))
"""Parts of the face whose shapes follow the expression: eyes, brows, lips, and the open mouth."""

_PARTS = [[CLASSES.index(name) for name in part] for part in PARTS]


@dataclass(frozen=True)
class Measured:
    """Measurements of B faces, on one device.

    Attributes:
        embeddings: of each judge, (B, D) of unit norm.
        landmarks: (B, 5, 2) px of the crop, detected; NaN where no face is detected.
        parts: float16 (B, P, h, w), the segmenter's probability of each of `PARTS` at each position.
        features: (B, 2 C), mean and deviation over positions of the segmenter's first C feature maps (stride 4), which
            follow texture, sharpness and colour.
    """

    embeddings: tuple[Tensor, ...]
    landmarks: Tensor
    parts: Tensor
    features: Tensor

    @classmethod
    def join(cls, batches: Sequence["Measured"]) -> Self:
        """All faces of several batches."""
        return cls(
            tuple(torch.cat(parts) for parts in zip(*(batch.embeddings for batch in batches), strict=True)),
            *(torch.cat([getattr(batch, name) for batch in batches]) for name in ("landmarks", "parts", "features")),
        )

    def take(self, rows: slice) -> "Measured":
        """These faces only."""
        embeddings = tuple(embedding[rows] for embedding in self.embeddings)
        return Measured(embeddings, self.landmarks[rows], self.parts[rows], self.features[rows])


class Measurer:
    """Measures faces by the judges' embedders, a detector and the built-in segmenter.

    Args:
        judges: at least one.
    """

    def __init__(self, judges: Sequence[Judge]) -> None:
        self.judges = tuple(judges)
        self.device = self.judges[0].centre.device
        self._detector = Mtcnn(self.device, MtcnnSettings(max_faces=1))
        self._segmenter = Segmenter.load(self.device)

    @torch.inference_mode()
    def measure(self, images: Tensor, landmarks: npt.NDArray[np.float64]) -> Measured:
        """Measure crops.

        Args:
            images: (B, 3, S, S), RGB in [0, 1].
            landmarks: (B, 5, 2), px of the crop, by which the judges align their chips: of the target, for swaps too.
        """
        embeddings = tuple(judge.embed(images, landmarks) for judge in self.judges)
        pixels = (images * 255).round().to(torch.uint8)
        logits, features = self._segmenter.logits_and_features(pixels)
        probabilities = logits.softmax(1)
        parts = torch.stack([probabilities[:, part].sum(1) for part in _PARTS], 1).half()
        moments = torch.cat([features.mean((2, 3)), features.std((2, 3))], 1)
        return Measured(embeddings, self._detect(images), parts, moments)

    def _detect(self, images: Tensor) -> Tensor:
        """Landmarks (B, 5, 2) of the largest face of each image, NaN without one."""
        landmarks = np.full((len(images), 5, 2), np.nan, np.float32)
        faces = self._detector(list(to_pixels(images))).largest()
        landmarks[faces.photo] = faces.landmarks
        return torch.from_numpy(landmarks).to(images.device)


def to_pixels(images: Tensor) -> Pixels:
    """RGB in [0, 1] (B, 3, S, S) -> uint8 (B, S, S, 3)."""
    pixels: Pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pixels
