"""Photos with CelebAMask label maps in, augmented training crops out, all on tensors, a batch at a time."""

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from manifests.landmarks import FLIP_CLASSES


def split_names(folder: Path) -> tuple[list[str], list[str]]:
    """Names of `folder`/images/*.jpg, sorted: the first nine tenths to train on, the last tenth to test on."""
    names = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    cut = len(names) * 9 // 10
    return names[:cut], names[cut:]


def load_pairs(folder: Path, names: list[str], size: int) -> tuple[Tensor, Tensor]:
    """Photos uint8 (N, 3, size, size) RGB and their label maps uint8 (N, size, size), squeezed to a square."""
    images = torch.empty(len(names), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(names), size, size, dtype=torch.uint8)
    for n, name in enumerate(names):
        photo = Image.open(folder / "images" / f"{name}.jpg").convert("RGB").resize((size, size), Image.Resampling.BOX)
        # A palette PNG: Pillow's pixel values are the class indices.
        mask = Image.open(folder / "masks" / f"{name}.png").resize((size, size), Image.Resampling.NEAREST)
        images[n] = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)
        labels[n] = torch.from_numpy(np.asarray(mask).copy())
    return images, labels


def warp(
    images: Tensor, labels: Tensor, size: int, stride: int, tight: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random similarity crops: float (N, 3, size, size) in [0, 1] and int64 labels (N, size/stride, size/stride).

    A share `tight` of the crops is framed as arcface-112 frames a face, the others like the photos. What lies
    outside the photo is black background, as on an aligned crop. A mirrored crop has its left and right classes
    exchanged. Labels are taken at the points where logits at that stride lie.
    """
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=rng) * (high - low) + low

    close = torch.rand(n, generator=rng) < tight
    zoom = torch.where(close, uniform(1.1, 1.9), uniform(0.8, 1.2))
    angle = torch.where(torch.rand(n, generator=rng) < 0.8, uniform(-0.25, 0.25), uniform(-0.8, 0.8))
    mirror = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0)
    stretch = uniform(0.92, 1.08)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = angle.cos() / zoom * stretch * mirror
    theta[:, 0, 1] = -angle.sin() / zoom
    theta[:, 1, 0] = angle.sin() / zoom * mirror
    theta[:, 1, 1] = angle.cos() / zoom / stretch
    theta[:, 0, 2] = uniform(-0.14, 0.14)
    theta[:, 1, 2] = torch.where(close, uniform(0.0, 0.25), uniform(-0.12, 0.15))  # faces sit below the middle
    grid = F.affine_grid(theta, [n, 1, size, size], align_corners=False)
    crops = F.grid_sample(images.float().div_(255), grid, align_corners=False)
    coarse = F.affine_grid(theta, [n, 1, size // stride, size // stride], align_corners=False)
    truth = F.grid_sample(labels[:, None].float(), coarse, mode="nearest", align_corners=False)[:, 0].long()
    swapped = torch.tensor(FLIP_CLASSES)[truth]
    return crops, torch.where((mirror < 0)[:, None, None], swapped, truth)


def degrade(crops: Tensor, rng: torch.Generator) -> Tensor:
    """Light, colour, grey, resolution, noise and JPEG as web photos have them; float (N, 3, S, S) in [0, 1]."""
    n, size = len(crops), crops.shape[-1]

    def uniform(low: float, high: float) -> Tensor:
        return (torch.rand(n, generator=rng) * (high - low) + low)[:, None, None, None]

    def chosen(share: float) -> Tensor:
        return torch.rand(n, generator=rng) < share

    grey = crops.mean(1, keepdim=True)
    saturation = torch.where(chosen(0.25)[:, None, None, None], torch.zeros(1), uniform(0.5, 1.4))
    crops = grey + (crops - grey) * saturation
    tint = 1 + (torch.rand(n, 3, 1, 1, generator=rng) - 0.5) * 0.3 * (saturation > 0)
    crops = (crops * tint).clamp_(0, 1) ** uniform(0.6, 1.6)
    crops = (crops - 0.5) * uniform(0.6, 1.3) + 0.5 + uniform(-0.12, 0.12)
    crops = crops * torch.where(chosen(0.15)[:, None, None, None], uniform(0.2, 0.6), torch.ones(1))  # dim
    side = torch.linspace(-1, 1, size)
    shade = 1 + uniform(-0.4, 0.4) * side[None, None, None, :] + uniform(-0.25, 0.25) * side[None, None, :, None]
    crops = crops * shade
    for i in torch.nonzero(chosen(0.3))[:, 0].tolist():
        small = max(32, int(size * (0.2 + 0.6 * torch.rand(1, generator=rng).item())))
        shrunk = F.interpolate(crops[i : i + 1], size=(small, small), mode="bilinear", antialias=True)
        crops[i] = F.interpolate(shrunk, size=(size, size), mode="bilinear")[0]
    noisy = chosen(0.3)[:, None, None, None] * uniform(0.0, 0.06)
    crops = (crops + torch.randn(crops.shape, generator=rng) * noisy).clamp_(0, 1)
    for i in torch.nonzero(chosen(0.2))[:, 0].tolist():
        quality = int(20 + 70 * torch.rand(1, generator=rng).item())
        pixels = (crops[i] * 255).byte().flip(0).permute(1, 2, 0).contiguous().numpy()  # BGR for OpenCV
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        crops[i] = torch.from_numpy(decoded).permute(2, 0, 1).flip(0).float() / 255
    return crops
