"""The pixels of a face, from its label map and landmarks: the region that every measure of a face averages over.

A measure is a weighted mean, over this region, of something computed on the whole, unmodified crop. Pixels outside are
never set to zero, which would draw an edge around the face that is sharper than anything in it.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from manifests.landmarks import FACE_CLASSES, MASK_CLASSES

SKIN_CLASSES = ("skin", "nose")

MIN_SHARE = 0.06
"""Share of the crop below which a label map has missed the face, and an ellipse around the landmarks replaces it."""

CELL = 4
"""Side of the cells in which a region is represented, crop px: a whole cell is inside or outside."""


def face_region(labels: Tensor, points: Tensor, erode: int = 0) -> Tensor:
    """Return the cells of the face, bool (N, H / 4, W / 4).

    A cell has the class of its middle pixel. Ears, hair and hats are outside: they lie at other depths and have
    textures of their own. Where the eroded region covers less than MIN_SHARE of the crop, it is
    `face_ellipse` instead.

    Args:
        labels: label maps uint8 (N, H, W).
        points: (N, 5, 2), landmarks in crop px.
        erode: cells removed all around, so that filters of that radius see the face alone.
    """
    region = _has_class(labels, FACE_CLASSES)
    if erode:
        region = ~_dilated(~region, erode)
    missed = region.float().mean((1, 2)) < MIN_SHARE
    return torch.where(missed[:, None, None], face_ellipse(points, labels.shape[1:]), region)


def skin_region(labels: Tensor) -> Tensor:
    """Return the cells surrounded by bare skin or nose, bool (N, H / 4, W / 4), of label maps uint8 (N, H, W).

    May be empty.
    """
    return ~_dilated(~_has_class(labels, SKIN_CLASSES), 1)


def face_ellipse(points: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Return the cells of an ellipse from the brows to the lower lip, bool (N, H / 4, W / 4).

    Its centre is the mean of the eyes and the mouth corners; its half-axes are 0.22 and 0.29 of the crop, which on the
    simswap-224 template stays inside nearly every face, profiles included.

    Args:
        points: (N, 5, 2), landmarks in crop px.
        size: (H, W) of the crops.
    """
    height, width = size
    centre = points[:, [0, 1, 3, 4]].float().mean(1)
    y = torch.arange(CELL // 2, height, CELL, device=points.device)[None, :, None]
    x = torch.arange(CELL // 2, width, CELL, device=points.device)[None, None, :]
    across = (x - centre[:, 0, None, None]) / (0.22 * width)
    down = (y - centre[:, 1, None, None]) / (0.29 * height)
    return across**2 + down**2 < 1


def _dilated(flags: Tensor, radius: int) -> Tensor:
    """Whether a cell within `radius` along each axis is True: bool (N, H, W)."""
    for axis in (1, 2):
        padding = (radius, radius) if axis == 2 else (0, 0, radius, radius)
        padded, length = F.pad(flags, padding), flags.shape[axis]
        for start in range(2 * radius + 1):
            flags = flags | padded.narrow(axis, start, length)
    return flags


def _has_class(labels: Tensor, names: tuple[str, ...]) -> Tensor:
    """Label maps uint8 (N, H, W) -> cells whose middle pixel has one of these classes, bool (N, H / 4, W / 4)."""
    cells = labels[:, CELL // 2 :: CELL, CELL // 2 :: CELL].contiguous()
    is_member = torch.zeros_like(cells, dtype=torch.bool)
    for first, last in class_runs(names):
        is_member |= (cells >= first) & (cells <= last)
    return is_member


def class_table(names: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """Table (256,) of `cv2.LUT`: 1 for the labels of these classes, else 0."""
    return np.isin(np.arange(256), [MASK_CLASSES.index(name) for name in names]).astype(np.uint8)


@cache
def class_runs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """First and last label of each run of consecutive classes: a few comparisons are faster than a look-up."""
    labels = sorted(MASK_CLASSES.index(name) for name in names)
    firsts = [label for label in labels if label - 1 not in labels]
    lasts = [label for label in labels if label + 1 not in labels]
    return tuple(zip(firsts, lasts, strict=True))
