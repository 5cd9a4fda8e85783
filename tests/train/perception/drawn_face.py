"""A face of flat colours and its label map."""

import cv2
import numpy as np
import numpy.typing as npt

from manifests.landmarks import MASK_CLASSES

CLASS = {name: MASK_CLASSES.index(name) for name in MASK_CLASSES}

Image = npt.NDArray[np.uint8]


def drawn_face(side: int = 128) -> tuple[Image, Image]:
    """Photo (side, side, 3) whose pixels are 10 times their class, and label map (side, side), 12 px of background all
    around. The subject's left eye is on the image's right."""
    labels = np.zeros((side, side), np.uint8)
    middle, eyes, mouth = side // 2, int(0.45 * side), int(0.72 * side)
    cv2.ellipse(labels, (middle, middle), (int(0.38 * side), int(0.4 * side)), 0, 0, 360, CLASS["hair"], -1)
    cv2.ellipse(labels, (middle, int(0.58 * side)), (int(0.26 * side), int(0.3 * side)), 0, 0, 360, CLASS["skin"], -1)
    for sign, name in ((-1, "r_eye"), (1, "l_eye")):
        cv2.ellipse(
            labels, (middle + int(sign * 0.12 * side), eyes), (side // 16, side // 24), 0, 0, 360, CLASS[name], -1
        )
    cv2.ellipse(labels, (middle, int(0.58 * side)), (side // 20, side // 12), 0, 0, 360, CLASS["nose"], -1)
    cv2.ellipse(labels, (middle, mouth), (side // 9, side // 30), 0, 0, 360, CLASS["l_lip"], -1)
    return np.repeat(labels[..., None] * 10, 3, 2).astype(np.uint8), labels
