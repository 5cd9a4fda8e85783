"""Real aligned faces for the tests of measures, from photos that ship with scikit-image and insightface."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import cv2
import numpy as np
import torch
from torch import Tensor

from curate.faces import align
from curate.measure.damage import photo_damage
from curate.measure.inputs import PhotoInputs
from manifests.landmarks import TEMPLATES

TEMPLATE = TEMPLATES["simswap-224"]


@dataclass(frozen=True)
class Face:
    """An aligned face."""

    crop: np.ndarray  # uint8 (224, 224, 3) RGB
    points: np.ndarray  # (5, 2) on the crop
    labels: np.ndarray  # uint8 (224, 224): an oval of skin


def wheel_photo(package: str, path: str) -> np.ndarray:
    """Read a photo from an installed package: uint8 (H, W, 3) RGB."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    bgr = cv2.imread(os.path.join(spec.submodule_search_locations[0], path))
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def face_of(photo: np.ndarray, landmarks: list[list[float]]) -> Face:
    """Align one face of a photo by its landmarks (5, 2), px of the photo."""
    source = np.asarray(landmarks, np.float64)[None]
    matrices, _ = align.fit(source, TEMPLATE)
    crop = align.warp([photo], [0], matrices, TEMPLATE.size)[0].permute(1, 2, 0).contiguous().numpy()
    points = align.transform_points(source, matrices)[0]
    labels = np.zeros(TEMPLATE.size, np.uint8)
    cv2.ellipse(labels, (112, 130), (66, 86), 0, 0, 360, 1, -1)
    return Face(crop, points, labels)


def batch(crops: Sequence[np.ndarray], face: Face | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Stack versions of one face: crops uint8 (N, 3, 224, 224), labels (N, 224, 224), points float32 (N, 5, 2)."""
    face = face or ASTRONAUT
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(face.labels).expand(len(crops), -1, -1)
    return pixels, labels, torch.from_numpy(face.points).float().expand(len(crops), -1, -1)


def luma(photo: np.ndarray) -> np.ndarray:
    """Luma uint8 (H, W) of a photo, as the photo measures receive it."""
    return PhotoInputs(photo).luma


def damage_of(photo: np.ndarray) -> dict[str, float]:
    """Measure the damage of a photo, uint8 (H, W, 3)."""
    return photo_damage(photo, luma(photo))


ASTRONAUT_PHOTO = wheel_photo("skimage", "data/astronaut.png")
GROUP_PHOTO = wheel_photo("insightface", "data/images/t1.jpg")
ASTRONAUT_LANDMARKS = [[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]]
ASTRONAUT = face_of(ASTRONAUT_PHOTO, ASTRONAUT_LANDMARKS)
