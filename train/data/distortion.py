"""Distortion of a training face: what the generator reads differs in shape from what it reconstructs.

DeepFaceLab's augmentation (Perov et al. 2020): both are moved and relit alike, and the input alone is distorted by a
smooth random field, so that the shape of a person's face is no function of the input's.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_ROTATION, _SCALE, _SHIFT = 0.07, 0.03, 0.02
"""Deviations of the common similarity: rotation in radians, logarithm of the scale, shift in sides of the crop."""

_GAIN, _CHANNEL_GAIN, _BRIGHTNESS, _SATURATION = 0.06, 0.02, 0.02, 0.2
"""Deviations of the common change of colours: contrast, contrast of each channel, brightness in [0, 1], saturation."""

_GREY = 0.05  # share of faces without colour, so that those of grey photos are drawn in grey
_LUMA = (0.299, 0.587, 0.114)

_KNOTS = 5  # per side of the grid on which the random field is drawn


@dataclass(frozen=True)
class DistortedFaces:
    """B faces, float32 in [0, 1].

    Attributes:
        input: (B, 3, S, S), moved, relit and distorted.
        target: (B, 3, S, S), moved and relit.
        masks: (B, 1, S, S), moved; ones where there were none.
        matrices: (B, 2, 3), px of the moved face -> px of the original.
    """

    input: Tensor
    target: Tensor
    masks: Tensor
    matrices: Tensor


def distort(rgb01: Tensor, masks: Tensor | None, warp: float) -> DistortedFaces:
    """Distort faces (B, 3, S, S) with masks (B, 1, S, S); draws from torch's global generator.

    Args:
        rgb01: RGB in [0, 1].
        masks: 0 to 1, or None.
        warp: deviation of the field that distorts the input, in sides of the crop.
    """
    count, _, side, _ = rgb01.shape
    device = rgb01.device
    draw = torch.randn(count, 8, device=device)
    angle, scale = draw[:, 0] * _ROTATION, torch.exp(draw[:, 1] * _SCALE)
    cos, sin, shift = scale * angle.cos(), scale * angle.sin(), 2 * _SHIFT * draw[:, 2:4]  # the crop is [-1, 1]
    matrix = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(matrix, [count, 1, side, side], align_corners=False)  # (B, S, S, 2)
    field = 2 * warp * torch.randn(count, 2, _KNOTS, _KNOTS, device=device)
    field = F.interpolate(field, size=(side, side), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)

    contrast = 1 + _GAIN * draw[:, 4:5] + _CHANNEL_GAIN * draw[:, 5:8]  # (B, 3)
    brightness = _BRIGHTNESS * torch.randn(count, 1, device=device)
    saturation = 1 + _SATURATION * torch.randn(count, 1, 1, 1, device=device)
    saturation = saturation.clamp(0) * (torch.rand(count, 1, 1, 1, device=device) >= _GREY)
    luma = (rgb01 * rgb01.new_tensor(_LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    rgb01 = torch.lerp(luma, rgb01, saturation)
    relit = (rgb01 * contrast[..., None, None] + brightness[..., None, None]).clamp(0, 1)
    shown = torch.ones_like(rgb01[:, :1]) if masks is None else masks.to(rgb01.dtype)
    moved = _sample(torch.cat([relit, shown], 1), grid)
    return DistortedFaces(_sample(relit, grid + field), moved[:, :3], moved[:, 3:], _in_pixels(matrix, side))


def _in_pixels(matrix: Tensor, side: int) -> Tensor:
    """Matrices (B, 2, 3) between coordinates of [-1, 1] as matrices between pixels, whose centres are integers."""
    centre = (side - 1) / 2
    linear, shift = matrix[:, :, :2], matrix[:, :, 2] * (side / 2)
    return torch.cat([linear, (shift + centre - centre * linear.sum(2))[:, :, None]], 2)


def transform(points: Tensor, matrices: Tensor) -> Tensor:
    """Points (B, K, 2) moved by matrices (B, 2, 3)."""
    return points @ matrices[:, :, :2].mT + matrices[:, None, :, 2]


def invert(matrices: Tensor) -> Tensor:
    """Matrices (B, 2, 3) of the inverse maps."""
    linear = torch.linalg.inv(matrices[:, :, :2])
    return torch.cat([linear, -linear @ matrices[:, :, 2:]], 2)


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Matrices (B, 2, 3) of the maps x -> outer(inner(x))."""
    linear = outer[:, :, :2] @ inner
    return torch.cat([linear[:, :, :2], linear[:, :, 2:] + outer[:, :, 2:]], 2)
