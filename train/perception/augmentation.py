"""Augmentation of photos and label maps: random similarity crops and degradations, a batch at a time."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from manifests.landmarks import FLIP_CLASSES


def random_crops(
    images: Tensor, labels: Tensor, size: int, stride: int, tight: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Crop photos by random similarity transforms, half of them mirrored, and their label maps.

    Pixels beyond the photo are black and background, as on an aligned crop. Mirrored crops have their left and right
    classes exchanged.

    Args:
        images: uint8 (N, 3, T, T), RGB.
        labels: uint8 (N, T, T), classes.
        size: side of the crops, px.
        stride: of the logits, px of the crop; labels are sampled at the positions of the logits.
        tight: share of the crops with the framing of arcface-112; the others have that of the photos.
        rng: of all draws.

    Returns:
        Crops float32 (N, 3, size, size) in [0, 1], and labels int64 (N, size / stride, size / stride).
    """
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=rng) * (high - low) + low

    is_tight = torch.rand(n, generator=rng) < tight
    zoom = torch.where(is_tight, uniform(1.1, 1.9), uniform(0.8, 1.2))
    angle = torch.where(torch.rand(n, generator=rng) < 0.8, uniform(-0.25, 0.25), uniform(-0.8, 0.8))
    mirror = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0)
    stretch = uniform(0.92, 1.08)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = angle.cos() / zoom * stretch * mirror
    theta[:, 0, 1] = -angle.sin() / zoom
    theta[:, 1, 0] = angle.sin() / zoom * mirror
    theta[:, 1, 1] = angle.cos() / zoom / stretch
    theta[:, 0, 2] = uniform(-0.14, 0.14)
    theta[:, 1, 2] = torch.where(is_tight, uniform(0.0, 0.25), uniform(-0.12, 0.15))  # faces are below the middle
    grid = F.affine_grid(theta, [n, 1, size, size], align_corners=False)
    crops = F.grid_sample(images.float().div_(255), grid, align_corners=False)
    grid = F.affine_grid(theta, [n, 1, size // stride, size // stride], align_corners=False)
    classes = F.grid_sample(labels[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0].long()
    return crops, torch.where((mirror < 0)[:, None, None], torch.tensor(FLIP_CLASSES)[classes], classes)


def degrade(crops: Tensor, rng: torch.Generator) -> Tensor:
    """Change light, colour, resolution, noise and JPEG quality at random, as they vary in web photos.

    Args:
        crops: float32 (N, 3, S, S) in [0, 1]; the result has the same form.
        rng: of all draws.
    """
    n, size = len(crops), crops.shape[-1]

    def uniform(low: float, high: float) -> Tensor:
        return (torch.rand(n, generator=rng) * (high - low) + low)[:, None, None, None]

    def draw(probability: float) -> Tensor:
        return torch.rand(n, generator=rng) < probability

    grey = crops.mean(1, keepdim=True)
    saturation = torch.where(draw(0.25)[:, None, None, None], torch.zeros(1), uniform(0.5, 1.4))
    crops = grey + (crops - grey) * saturation
    tint = 1 + (torch.rand(n, 3, 1, 1, generator=rng) - 0.5) * 0.3 * (saturation > 0)
    crops = (crops * tint).clamp_(0, 1) ** uniform(0.6, 1.6)
    crops = (crops - 0.5) * uniform(0.6, 1.3) + 0.5 + uniform(-0.12, 0.12)
    crops = crops * torch.where(draw(0.15)[:, None, None, None], uniform(0.2, 0.6), torch.ones(1))  # underexposed
    x = torch.linspace(-1, 1, size)
    shade = 1 + uniform(-0.4, 0.4) * x[None, None, None, :] + uniform(-0.25, 0.25) * x[None, None, :, None]
    crops = crops * shade
    for i in torch.nonzero(draw(0.3))[:, 0].tolist():
        side_px = max(32, int(size * (0.2 + 0.6 * torch.rand(1, generator=rng).item())))
        shrunk = F.interpolate(crops[i : i + 1], size=(side_px, side_px), mode="bilinear", antialias=True)
        crops[i] = F.interpolate(shrunk, size=(size, size), mode="bilinear")[0]
    sigma = draw(0.3)[:, None, None, None] * uniform(0.0, 0.06)
    crops = (crops + torch.randn(crops.shape, generator=rng) * sigma).clamp_(0, 1)
    for i in torch.nonzero(draw(0.2))[:, 0].tolist():
        quality = int(20 + 70 * torch.rand(1, generator=rng).item())
        pixels = (crops[i] * 255).byte().flip(0).permute(1, 2, 0).contiguous().numpy()  # BGR for OpenCV
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        crops[i] = torch.from_numpy(decoded).permute(2, 0, 1).flip(0).float() / 255
    return crops
