"""Augmentation of photos and label maps: occluders, turned heads, crops, borders and degradations."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from manifests.landmarks import FLIP_CLASSES
from train.perception.occluders import Occluders
from train.perception.recipe import Phase
from train.perception.warps import Rectangle, compose, inside, is_mirrored, random_rectangle, sample, similarity, turned

Images = npt.NDArray[np.uint8]

_MAX_TURN = 55.0  # degrees; beyond it the warp of a frontal photo shows mostly its stretched side
_FLIP = np.array(FLIP_CLASSES, np.uint8)


@dataclass(frozen=True)
class Augmentation:
    """Random crops of a training set.

    Attributes:
        images: uint8 (N, T, T, 3), RGB.
        labels: uint8 (N, T, T), classes.
        occluders: that are drawn over the photos.
    """

    images: Images
    labels: Images
    occluders: Occluders

    def crops(self, rows: npt.NDArray[np.int64], phase: Phase, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Crop photos at random, as `phase` says.

        Pixels beyond the photo are background. Mirrored crops have their left and right classes exchanged.

        Returns:
            Crops float32 (N, 3, S, S) in [0, 1], and labels int64 (N, S / stride, S / stride), sampled at the positions
            of the logits.
        """
        size = phase.size
        crops = np.empty((len(rows), size, size, 3), np.uint8)
        labels = np.empty((len(rows), size // phase.stride, size // phase.stride), np.uint8)
        for n, row in enumerate(rows):
            crops[n], labels[n] = self._crop(int(row), phase, rng)
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255), torch.from_numpy(labels).long()

    def _crop(self, row: int, phase: Phase, rng: np.random.Generator) -> tuple[Images, Images]:
        image, labels, frame = self.images[row], self.labels[row], self.occluders.frames[row]
        side = len(labels)
        tight = bool(rng.random() < phase.tight)
        positions = similarity(phase.size, side, tight, rng)
        coarse = similarity_at_stride(positions, phase.stride)
        mirrored = is_mirrored(positions)
        shown = Rectangle(0, 0, side, side)
        if frame is not None:
            if rng.random() < phase.occluded:
                image, labels = self.occluders.paste(image, labels, frame, rng)
                if rng.random() < 0.25:
                    image, labels = self.occluders.paste(image, labels, frame, rng)
            if rng.random() < phase.turned:
                turn = turned(frame, side, rng.uniform(10, _MAX_TURN))
                positions, coarse = compose(positions, turn), compose(coarse, turn)
            if rng.random() < phase.padded:
                shown = random_rectangle(frame, side, rng)
        crop, _ = sample(image, positions, shown, rng)
        classes = cv2.remap(labels, coarse[..., 0], coarse[..., 1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        classes = np.where(inside(coarse, shown), classes, 0)
        return crop, np.asarray(_FLIP[classes] if mirrored else classes, np.uint8)


def similarity_at_stride(positions: npt.NDArray[np.float32], stride: int) -> npt.NDArray[np.float32]:
    """Positions of the logits: the centres of blocks of stride x stride pixels, (S / stride, S / stride, 2)."""
    size = len(positions) // stride
    blocks = positions.reshape(size, stride, size, stride, 2)
    return np.ascontiguousarray(blocks.mean((1, 3)), np.float32)


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
    for i in torch.nonzero(draw(0.35))[:, 0].tolist():
        side_px = max(20, int(size * (0.12 + 0.6 * torch.rand(1, generator=rng).item())))
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
