"""Where a face is in its photo, how its crop relates to the photo, and how much of the crop it fills."""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces import align
from curate.faces.faces import Faces
from curate.measure.region import class_runs, class_table
from manifests.landmarks import FACE_CLASSES, Template
from manifests.schema import BOX, LANDMARKS

Array = npt.NDArray[np.generic]


def detection(faces: Faces) -> dict[str, Array]:
    """Return the detector's output as columns, (N,) each.

    - `detection_score`: float32, NaN where the source supplied the face.
    - `landmark_source`: 'detector' or 'source'.
    - `BOX` and `LANDMARKS` of the schema: float32, px of the photo.
    """
    return {
        "detection_score": faces.score,
        "landmark_source": np.where(np.isnan(faces.score), "source", "detector"),
        **{name: faces.box[:, k] for k, name in enumerate(BOX)},
        **{name: faces.landmarks.reshape(-1, 10)[:, k] for k, name in enumerate(LANDMARKS)},
    }


def geometry(
    faces: Faces,
    template: Template,
    matrices: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    photo_sizes: npt.NDArray[np.int64],
) -> dict[str, Array]:
    """Measure N faces in their photos; arguments are those of `FaceInputs`.

    - `eye_distance`: distance between the eyes, px of the photo.
    - `upscale`: px of the stored crop per px of the photo.
    - `inside`: share of the crop that lies inside the photo, 0-1.
    """
    eyes = faces.landmarks[:, 1] - faces.landmarks[:, 0]
    return {
        "eye_distance": np.hypot(eyes[:, 0], eyes[:, 1]),
        "upscale": scale,
        "inside": align.inside_fraction(matrices, template.size, photo_sizes),
    }


def face_share(label_maps: Tensor) -> dict[str, Tensor]:
    """Measure the share of the crop that is face, `face_share` float32 (N,), from label maps uint8 (N, S, S)."""
    if label_maps.device.type == "cpu":
        shares = [cv2.countNonZero(cv2.LUT(labels, _IS_FACE)) / labels.size for labels in label_maps.numpy()]
        return {"face_share": torch.tensor(shares, dtype=torch.float32)}
    # Comparisons with the few runs of consecutive classes take a third of the time of a look-up.
    inside = torch.zeros_like(label_maps, dtype=torch.bool)
    for first, last in class_runs(FACE_CLASSES):
        inside |= (label_maps >= first) & (label_maps <= last)
    return {"face_share": inside.sum((1, 2)).float() / inside[0].numel()}


_IS_FACE = class_table(FACE_CLASSES)
