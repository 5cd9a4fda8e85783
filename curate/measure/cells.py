"""Means over squares of pixels, on any device."""

import torch
from torch import Tensor


def halved(images: Tensor) -> Tensor:
    """Mean of 2 x 2 px: float (..., H, W) -> (..., H / 2, W / 2)."""
    rows = images[..., ::2, :] + images[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25


def cell_means(images: Tensor, side: int) -> Tensor:
    """Mean over cells of `side` px: float (N, H, W) -> (N, H / side, W / side)."""
    count, height, width = images.shape
    rows = images.reshape(count, height // side, side, width).sum(2)
    # A product with a narrow matrix sums neighbouring columns faster than a reduction over so few of them.
    columns = torch.eye(width // side, dtype=images.dtype, device=images.device).repeat_interleave(side, 0)
    return rows @ (columns / side**2)
