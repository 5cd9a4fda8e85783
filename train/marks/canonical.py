"""Pictures of any size -> their brightness on the canonical grid of 256 x 256 cells, its activity and its detail."""

from collections.abc import Sequence

import torch
from torch.nn.functional import interpolate, pad

from train.marks.carriers import GRID

_BRIGHTNESS = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG and most video have it
_WINDOW = 7
_FLOOR = 2.0
"""Added to the variance of the detail when it is divided out: noise of an otherwise flat place is not blown up."""


def brightness(rgb: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) RGB -> luma on the grid, float32 (N, 256, 256), 0 to 255."""
    luma = rgb.float() @ torch.tensor(_BRIGHTNESS, device=rgb.device)
    return interpolate(luma[:, None], (GRID, GRID), mode="bilinear", antialias=True, align_corners=False)[:, 0]


def variance(grids: torch.Tensor) -> torch.Tensor:
    """The variance in the 5 x 5 cells around each cell, (N, 256, 256)."""
    mean = box(grids, 5)
    return (box(grids * grids, 5) - mean * mean).clamp_min(0)


def detail(grids: torch.Tensor) -> torch.Tensor:
    """Brightness -> what differs from the neighbourhood, of about the same strength everywhere, (N, 256, 256).

    A mark is hidden in proportion to the activity around it; divided by that, it weighs the same everywhere, which is
    what a matched filter in noise of uneven strength asks for.
    """
    rest = grids - box(grids, _WINDOW)
    return rest / (box(rest * rest, _WINDOW) + _FLOOR).sqrt()


def box(grids: torch.Tensor, size: int) -> torch.Tensor:
    """The mean of the `size` x `size` cells around each cell; border cells are repeated outwards. `size` is odd."""
    reach = size // 2
    wide = pad(grids[:, None], (reach, reach, reach, reach), mode="replicate")[:, 0]
    rows = _sum([wide[:, k : k + grids.shape[1]] for k in range(size)])
    return _sum([rows[:, :, k : k + grids.shape[2]] for k in range(size)]) / (size * size)


def _sum(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total
