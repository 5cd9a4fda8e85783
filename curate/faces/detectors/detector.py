"""`Detector`: the interface of a face detector."""

from collections.abc import Sequence
from typing import Protocol

from curate.faces.align import Photo
from curate.faces.faces import Faces


class Detector(Protocol):
    """A face detector. To add one, implement this class and choose it in `curate/faces/models.py`."""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and of every setting that can change a result."""

    @property
    def confident_score(self) -> float:
        """Score that upright faces usually reach and faces turned by a quarter or more hardly ever do."""

    def __call__(self, photos: Sequence[Photo]) -> Faces:
        """Detect the faces of photos, uint8 (H, W, 3) RGB of any sizes.

        The result is flat over the batch, in the order of the photos, the largest face of a photo first. The faces of a
        photo do not depend on the other photos.
        """
