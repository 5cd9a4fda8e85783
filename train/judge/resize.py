"""Resizing of swaps to the size at which they are measured."""

import torch.nn.functional as F
from torch import Tensor

from train.trained import shrink


def resize(images: Tensor, size: int) -> Tensor:
    """Images float (B, 3, S, S) in [0, 1] at another side: shrunk by area, or enlarged bicubically."""
    if images.shape[-1] >= size:
        return shrink(images, size)
    larger = F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False)
    return larger.clamp(0, 1)
