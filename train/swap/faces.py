"""Photos -> the faces in them, aligned for the generator: all faces of a batch at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.faces import Faces
from curate.faces.packs.insightface import PACKS, load_scrfd
from manifests.landmarks import Template

if TYPE_CHECKING:
    from curate.faces.models import Choice, Detector

Pixels = npt.NDArray[np.uint8]

MOST = 64
"""Faces that are looked for in one photo."""

_SURE = 0.9
"""The built-in detector's score from which on a find counts: below it, about half are hands, pots and patterns."""


class FaceFinder:
    """Finds faces and cuts them out. `detector`: photos -> Faces; `template`: the geometry of the crops;
    `sure`: the least score of a face."""

    def __init__(
        self, detector: "Detector", template: Template, device: str | torch.device = "cpu", sure: float = 0.0
    ) -> None:
        self.detector, self.template, self.device, self.sure = detector, template, device, sure

    def __call__(self, photos: Sequence[Pixels]) -> Faces:
        """Photos uint8 (H, W, 3) RGB of any sizes -> their faces; points that fit no alignment are no face."""
        faces = self.detector(photos).alignable()
        return faces.take(faces.score >= self.sure)


def load_finder(choice: "Choice", template: Template, device: str) -> FaceFinder:
    """With the detector of that choice, up to `MOST` faces a photo."""
    if choice.pack in PACKS:
        return FaceFinder(load_scrfd(choice.pack, device, MOST), template, device)
    return FaceFinder(Mtcnn(device, "full" if choice.detection == "full" else "coarse", MOST), template, device, _SURE)
