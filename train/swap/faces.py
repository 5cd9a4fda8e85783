"""Photos -> the faces in them, aligned for the generator: all faces of a batch at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces import align
from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.embedder import Embedder
from curate.faces.packs.insightface import PACKS, load_scrfd
from manifests.landmarks import Template

if TYPE_CHECKING:
    from curate.faces.models import Choice, Detector

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Matrices = npt.NDArray[np.float64]

MOST = 64
"""Faces that are looked for in one photo."""

_SURE = 0.9
"""The built-in detector's score from which on a find counts: below it, about half are hands, pots and patterns."""


@dataclass(frozen=True)
class Faces:
    """K faces of a batch of photos, in the photos' order, those of one photo largest first.

    photo: int64 (K,), index of the photo. box: (K, 4), points: (K, 5, 2), in px of the photo. matrix: float64
    (K, 2, 3), photo -> crop of the template.
    """

    photo: npt.NDArray[np.int64]
    box: Floats
    points: Floats
    matrix: Matrices

    def __len__(self) -> int:
        return len(self.photo)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Faces":
        """Only these faces."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items()})


class FaceFinder:
    """Finds faces and cuts them out. `detector`: photos -> Detections; `template`: the geometry of the crops;
    `sure`: the least score of a face."""

    def __init__(
        self, detector: "Detector", template: Template, device: str | torch.device = "cpu", sure: float = 0.0
    ) -> None:
        self.detector, self.template, self.device, self.sure = detector, template, device, sure

    def __call__(self, photos: Sequence[Pixels]) -> Faces:
        """Photos uint8 (H, W, 3) RGB of any sizes -> their faces; points that fit no alignment are no face."""
        found = self.detector(photos)
        photo = np.repeat(np.arange(len(photos)), [len(one.scores) for one in found])
        box = np.concatenate([np.zeros((0, 4), np.float32), *(one.boxes for one in found)])
        points = np.concatenate([np.zeros((0, 5, 2), np.float32), *(one.landmarks for one in found)])
        matrix, _ = align.fit(points, self.template)
        scores = np.concatenate([np.zeros(0, np.float32), *(one.scores for one in found)])
        faces = Faces(photo, box, points, matrix)
        return faces.take(np.isfinite(matrix).all((1, 2)) & (scores >= self.sure))

    def crops(self, photos: Sequence[Pixels], faces: Faces) -> Tensor:
        """The faces on the template's grid: uint8 (K, 3, T, T) on the device, black beyond the photo."""
        return align.warp(photos, faces.photo, faces.matrix, self.template.size, self.device)


def embed(photos: Sequence[Pixels], faces: Faces, embedder: Embedder, device: str | torch.device) -> Tensor:
    """Faces -> float32 (K, D) of unit norm, each aligned to the embedder's own template, as curation does it."""
    matrix, _ = align.fit(faces.points, embedder.template)
    return embedder.embed(align.warp(photos, faces.photo, matrix, embedder.template.size, device)).float()


def load_finder(choice: "Choice", template: Template, device: str) -> FaceFinder:
    """With the detector of that choice, up to `MOST` faces a photo."""
    if choice.pack in PACKS:
        return FaceFinder(load_scrfd(choice.pack, device, MOST), template, device)
    return FaceFinder(Mtcnn(device, "full" if choice.detection == "full" else "coarse", MOST), template, device, _SURE)
