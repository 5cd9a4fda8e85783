"""Face detection for swapping: more faces per photo than curation, and fewer false detections."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.faces import Faces
from curate.faces.packs.insightface import PACKS, load_scrfd

if TYPE_CHECKING:
    from curate.faces.models import Choice, Detector

Pixels = npt.NDArray[np.uint8]

MAX_FACES = 64
"""Faces that are detected in one photo."""

_MIN_MTCNN_SCORE = 0.9  # below, about half of the detections are hands, pots and patterns


class SwapDetector:
    """A detector without the faces that cannot be aligned or have a score below `min_score`."""

    def __init__(self, detector: "Detector", min_score: float = 0.0) -> None:
        self.detector, self.min_score = detector, min_score

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the detector."""
        return self.detector.fingerprint

    def __call__(self, photos: Sequence[Pixels]) -> Faces:
        """Detect the faces of photos, uint8 (H, W, 3) RGB of any sizes: in the order of the photos, largest first."""
        faces = self.detector(photos).alignable()
        return faces.take(faces.score >= self.min_score)


def load_detector(choice: "Choice", device: str) -> SwapDetector:
    """Load the detector of a choice of models."""
    if choice.pack in PACKS:
        return SwapDetector(load_scrfd(choice.pack, device, MAX_FACES))
    mtcnn = Mtcnn(device, "full" if choice.detection == "full" else "coarse", MAX_FACES)
    return SwapDetector(mtcnn, _MIN_MTCNN_SCORE)
