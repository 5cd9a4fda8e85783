"""Label maps and landmarks in, the pixels of the face out: where every measure of a face looks.

A measure is a weighted mean over this region of something computed on the whole, untouched crop; nothing outside is
ever set to zero, since that would draw an edge around the face that is sharper than anything in it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from manifests.landmarks import MASK_CLASSES

FACE_CLASSES = ("skin", "nose", "glasses", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip")
"""Classes that make up the face; ears, hair and hats lie at other depths and have textures of their own."""

SKIN_CLASSES = ("skin", "nose")

MIN_SHARE = 0.06
"""Share of the crop below which a label map has missed the face, and an ellipse around the landmarks stands in."""


CELL = 4
"""Side, in crop px, of the cells in which the region is kept: whole cells are in or out."""


def face_region(labels: Tensor, points: Tensor, erode: int = 0) -> Tensor:
    """Label maps uint8 (N, H, W) and points (N, 5, 2) in crop px -> bool (N, H / 4, W / 4): cells of the face.

    A cell counts by its middle pixel; `erode` cells are taken off all around, so that filters of that radius see the
    face alone. Where the label map leaves less than MIN_SHARE of the crop, the region is `face_ellipse` instead.
    """
    region = _is_one_of(labels, FACE_CLASSES)
    if erode:
        outside = F.max_pool2d((~region)[:, None].float(), 2 * erode + 1, stride=1, padding=erode)
        region = outside[:, 0] < 0.5
    missed = region.float().mean((1, 2)) < MIN_SHARE
    return torch.where(missed[:, None, None], face_ellipse(points, labels.shape[1:]), region)


def skin_region(labels: Tensor) -> Tensor:
    """Label maps uint8 (N, H, W) -> bool (N, H / 4, W / 4): cells amid bare skin, the nose included; may be empty."""
    outside = (~_is_one_of(labels, SKIN_CLASSES))[:, None].float()
    return F.max_pool2d(outside, 3, stride=1, padding=1)[:, 0] < 0.5


def _is_one_of(labels: Tensor, names: tuple[str, ...]) -> Tensor:
    wanted = torch.zeros(256, dtype=torch.bool, device=labels.device)
    wanted[[MASK_CLASSES.index(name) for name in names]] = True
    return wanted[labels[:, CELL // 2 :: CELL, CELL // 2 :: CELL].long()]


def face_ellipse(points: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Points (N, 5, 2) in px of crops of `size` (H, W) -> bool (N, H / 4, W / 4): an ellipse, brows to lower lip.

    Its centre is the mean of the eyes and the mouth corners; its half-axes are 0.22 and 0.29 of the crop, which on the
    simswap-224 template stays inside nearly every face, profiles included.
    """
    height, width = size
    centre = points[:, [0, 1, 3, 4]].float().mean(1)
    y = torch.arange(CELL // 2, height, CELL, device=points.device)[None, :, None]
    x = torch.arange(CELL // 2, width, CELL, device=points.device)[None, None, :]
    across = (x - centre[:, 0, None, None]) / (0.22 * width)
    down = (y - centre[:, 1, None, None]) / (0.29 * height)
    return across**2 + down**2 < 1
