"""Photos and rough landmarks in, better landmarks out: MTCNN's last network looks again, at an upright, whole face.

The cascade shows its output network an upright box of the photo, cut off where the photo ends: a face that is turned
or fills the frame arrives rotated or squeezed, and its points come out a tenth of the eye distance off. Here the face
is first warped by the points so far, with black beyond the photo, to where that network places them best.

Measured with the built-in embedder (TAR at FAR 1e-3, all pairs; bench/embedders.py's protocol): 792 photos of
lfw-gray .80 -> .90, 384 of celebs-112 .36 -> .70, 93 of celebs-color, whose faces do not fill the frame, .89 -> .90.
The place of the points in the crop was searched on lfw-gray; anything from 0.36 to 0.46 of its side is as good.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from curate.faces import align
from curate.faces.detectors.mtcnn_networks import ONet
from manifests.landmarks import TEMPLATES, Floats, Template

_SIDE = 48
_EYES_APART = 0.40  # of the crop's side
_BELOW_CENTRE = 0.05  # the mean of the points, of the crop's side
_BATCH = {"cpu": 32, "cuda": 1024}
_FACE = 0.7  # below, the network sees no face in the crop, and the points stay as they were

_MIRRORED = [1, 0, 2, 4, 3]


def _placed() -> Template:
    points = TEMPLATES["arcface-112"].points[0]
    eyes = points[1, 0] - points[0, 0]
    middle = np.array([_SIDE / 2 - 0.5, _SIDE / 2 - 0.5 + _BELOW_CENTRE * _SIDE])
    placed = (points - points.mean(0)) / eyes * _EYES_APART * _SIDE + middle
    return Template("mtcnn-48", placed[None], (_SIDE, _SIDE))


PLACED = _placed()


@torch.inference_mode()
def refine_landmarks(
    network: ONet, photos: Sequence[align.Photo], which: npt.NDArray[np.int64], landmarks: Floats, device: torch.device
) -> Floats:
    """Points (N, 5, 2) of faces in `photos[which[n]]` -> better ones, float64 (N, 5, 2), in px of their photos.

    Two looks, the second at the crop and its mirror image. A face that the network does not confirm keeps its points.
    """
    points: Floats = np.asarray(landmarks, np.float64).reshape(-1, 5, 2)
    for mirrored in (False, True):
        points = _look(network, photos, which, points, device, mirrored)
    return points


def _look(
    network: ONet,
    photos: Sequence[align.Photo],
    which: npt.NDArray[np.int64],
    points: Floats,
    device: torch.device,
    mirrored: bool,
) -> Floats:
    matrices, _ = align.fit(points, PLACED)
    better = points.copy()
    step = _BATCH[device.type]
    for start in range(0, len(points), step):
        some = slice(start, start + step)
        crops = align.warp(photos, which[some], matrices[some], PLACED.size, device)
        pixels = ((crops.float() - 127.5) / 128).contiguous(memory_format=torch.channels_last)
        probability, _, found = network(pixels)
        if mirrored:
            other_probability, _, other = network(pixels.flip(3))
            other = other[:, _MIRRORED]
            # A box of side 1 mirrors x to 1 - x.
            other[:, :, 0] = 1 - other[:, :, 0]
            probability, found = torch.minimum(probability, other_probability), (found + other) / 2
        # The network counts in units of the box, from its edge: px centres lie half a px further.
        places = found.double().cpu().numpy() * _SIDE - 0.5
        ok = (probability > _FACE).cpu().numpy() & np.isfinite(matrices[some]).all((1, 2))
        back = align.transform_points(places, align.invert(matrices[some]))
        better[some][ok] = back[ok]
    return better
