"""The canonical grid: the luma of a picture of any size on 256 x 256 cells, its local variance and its detail."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate, pad

from train.marks.watermark.carriers import GRID

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in JPEG and most video
_VARIANCE_WINDOW = 5  # cells
_DETAIL_WINDOW = 7  # cells
_MIN_DETAIL_VARIANCE = 2.0  # added before dividing, so that noise in flat areas is not amplified


def to_tensor(rgb: npt.NDArray[np.uint8], device: torch.device | str) -> torch.Tensor:
    """A tensor on `device` of a uint8 array, read-only or not contiguous perhaps."""
    if not rgb.flags.writeable:
        rgb = rgb.copy()  # torch warns about read-only arrays
    return torch.from_numpy(np.ascontiguousarray(rgb)).to(device)


def luma_grid(rgb: torch.Tensor) -> torch.Tensor:
    """Luma of pictures, uint8 (N, H, W, 3) RGB, on the grid: float32 (N, 256, 256), 0 to 255."""
    luma = rgb.float() @ torch.tensor(_LUMA, device=rgb.device)
    return interpolate(luma[:, None], (GRID, GRID), mode="bilinear", antialias=True, align_corners=False)[:, 0]


def variance(grids: torch.Tensor) -> torch.Tensor:
    """Variance in the 5 x 5 cells around each cell: (N, 256, 256)."""
    mean = box_mean(grids, _VARIANCE_WINDOW)
    return (box_mean(grids * grids, _VARIANCE_WINDOW) - mean * mean).clamp_min(0)


def detail(grids: torch.Tensor) -> torch.Tensor:
    """High-pass of luma grids, divided by its local standard deviation: (N, 256, 256).

    The amplitude of the mark is proportional to the local activity. After the division it is uniform, which is what a
    matched filter in noise of uneven strength requires.
    """
    residual = grids - box_mean(grids, _DETAIL_WINDOW)
    return residual / (box_mean(residual * residual, _DETAIL_WINDOW) + _MIN_DETAIL_VARIANCE).sqrt()


def box_mean(grids: torch.Tensor, size: int) -> torch.Tensor:
    """Mean over the `size` x `size` cells around each cell, with border cells replicated outwards. `size` is odd."""
    radius = size // 2
    padded = pad(grids[:, None], (radius, radius, radius, radius), mode="replicate")[:, 0]
    rows = _sum([padded[:, k : k + grids.shape[1]] for k in range(size)])
    return _sum([rows[:, :, k : k + grids.shape[2]] for k in range(size)]) / (size * size)


def _sum(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total
