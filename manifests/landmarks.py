"""Geometry of faces and crops: landmark order, templates, mask classes, and their horizontal flip.

Conventions of the whole project:

- Colour is RGB, points are (x, y), a box is (x0, y0, x1, y1).
- Integer coordinates are pixel *centres*: pixel (0, 0) covers [-0.5, 0.5] x [-0.5, 0.5], an image of width W
  spans [-0.5, W - 0.5]. OpenCV's warpAffine and MTCNN's outputs follow the same rule.
- A matrix (2, 3) maps source coordinates to crop coordinates: crop = M[:, :2] @ source + M[:, 2].
- The five landmarks, in this order: the eye on the image's left, the eye on its right, the nose tip, the mouth
  corner on the image's left, the mouth corner on its right.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

FLIP_POINTS = (1, 0, 2, 4, 3)
"""Order of the five landmarks after a horizontal flip: `points[FLIP_POINTS]` restores left before right."""

_ARCFACE_112 = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
]

# Five poses from a left profile to a right one, in 112-space; the best similarity fit wins. Published with
# insightface (MIT) as the alignment of the VGGFace2-224 crops that SimSwap trains on.
_SIMSWAP_112 = [
    [[51.642, 50.115], [57.617, 49.990], [35.740, 69.007], [51.157, 89.050], [57.025, 89.702]],
    [[45.031, 50.118], [65.568, 50.872], [39.677, 68.111], [45.177, 86.190], [64.246, 86.758]],
    [[39.730, 51.138], [72.270, 51.138], [56.000, 68.493], [42.463, 87.010], [69.537, 87.010]],
    [[46.845, 50.872], [67.382, 50.118], [72.737, 68.111], [48.167, 86.758], [67.236, 86.190]],
    [[54.796, 49.990], [60.771, 50.115], [76.673, 69.007], [55.388, 89.702], [61.257, 89.050]],
]
_FFHQ_512 = [
    [192.98138, 239.94708],
    [318.90277, 240.19360],
    [256.63416, 314.01935],
    [201.26117, 371.41043],
    [313.08905, 371.15118],
]


class Template:
    """Target positions of the five landmarks on an upright crop.

    Attributes:
        name: key in `TEMPLATES`.
        points: float64 (P, 5, 2), px of the crop. Of P > 1 poses the one with the best similarity fit is used.
        size: (height, width) of the crop, px.
    """

    def __init__(self, name: str, points: object, size: tuple[int, int]) -> None:
        self.name = name
        self.points: npt.NDArray[np.float64] = np.asarray(points, np.float64).reshape(-1, 5, 2)
        self.size = size

    @property
    def eye_distance(self) -> float:
        """Distance between the eyes of a frontal face, px of the crop."""
        return float(np.linalg.norm(self.points[:, 1] - self.points[:, 0], axis=1).max())

    def __repr__(self) -> str:
        return f"Template({self.name!r}, {self.size[0]}x{self.size[1]})"


TEMPLATES = {
    template.name: template
    for template in (
        Template("arcface-112", _ARCFACE_112, (112, 112)),
        # arcface-112 without 8 px on either side: crop_112x96 == crop_112[:, 8:104].
        Template("arcface-112x96", np.array(_ARCFACE_112) - [8.0, 0.0], (112, 96)),
        # arcface-112 with 8 px more on either side and 16 px more below, as face-swap networks of 128 px take it.
        Template("arcface-128", np.array(_ARCFACE_112) + np.array([8.0, 0.0]), (128, 128)),
        Template("simswap-224", np.array(_SIMSWAP_112) * 2.0, (224, 224)),
        # The same at half the side: the chips of the published SimSwap's face embedder.
        Template("simswap-112", _SIMSWAP_112, (112, 112)),
        Template("ffhq-512", _FFHQ_512, (512, 512)),
        # dlib's 150 px face chip in terms of the five landmarks: their median position over 92 photos on the chips that
        # dlib cuts (padding 0.25), moved up 4 px, which separates people better.
        Template(
            "dlib-150",
            [[47.2, 41.6], [102.2, 41.8], [74.9, 74.0], [50.9, 102.1], [97.7, 102.2]],
            (150, 150),
        ),
    )
}
"""Crop geometries by name; the metadata of weights and datasets refers to them."""

MASK_CLASSES = (
    "background", "skin", "nose", "glasses", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
"""CelebAMask-HQ's 19 classes; the index is the label stored in a mask. `ear_r` is an earring, `neck_l` a necklace;
`l_lip` and `u_lip` are the lower and the upper lip."""

FACE_CLASSES = ("skin", "nose", "glasses", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip")
"""Classes of the face: skin and everything on it, glasses included, without ears, hair and neck."""

FLIP_CLASSES = tuple(
    MASK_CLASSES.index({"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:])
    if name[2:] in ("eye", "brow", "ear")
    else index
    for index, name in enumerate(MASK_CLASSES)
)
"""Class of each label after a horizontal flip: left and right eye, brow and ear are exchanged."""


def flip_points(points: Floats, width: int) -> Floats:
    """Mirror landmarks (..., 5, 2) of an image `width` px wide, and restore their order."""
    flipped = points[..., FLIP_POINTS, :].copy()
    flipped[..., 0] = (width - 1) - flipped[..., 0]
    return flipped


def flip_mask(labels: Labels) -> Labels:
    """Mirror label maps, uint8 (..., H, W), and exchange left and right classes."""
    return np.asarray(FLIP_CLASSES, np.uint8)[labels[..., ::-1]]
