"""Face detection for swapping: more faces per photo than curation, and fewer false detections."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curate.faces import models
from curate.faces.detectors.detector import Detector
from curate.faces.faces import Faces
from manifests.layout import ChoiceRecord

Pixels = npt.NDArray[np.uint8]

MAX_FACES = 64
"""Faces that are detected in one photo."""

_MIN_MTCNN_SCORE = 0.9  # below, about half of the detections are hands, pots and patterns


class SwapDetector:
    """A detector without the faces that cannot be aligned or have a score below `min_score`."""

    def __init__(self, detector: Detector, min_score: float = 0.0) -> None:
        self.detector, self.min_score = detector, min_score

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the detector."""
        return self.detector.fingerprint

    def __call__(self, photos: Sequence[Pixels]) -> Faces:
        """Detect the faces of photos, uint8 (H, W, 3) RGB of any sizes: in the order of the photos, largest first."""
        faces = self.detector(photos).alignable()
        return faces.take(faces.score >= self.min_score)


def load_detector(choice: ChoiceRecord, device: str) -> SwapDetector:
    """Load the detector of a choice of models."""
    detector = models.load_detector(choice, device, MAX_FACES)
    return SwapDetector(detector, _MIN_MTCNN_SCORE if choice.pack == "builtin" else 0.0)
