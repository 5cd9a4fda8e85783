"""Jitter: a slight similarity transform and a change of contrast and brightness, for a person's only photo."""

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_MAX_ROTATION = np.deg2rad(5)
_MAX_SCALE, _MAX_SHIFT, _MAX_GAIN = 0.05, 0.03, 0.15
"""Largest relative change of the scale, shift in sides of the crop, and relative change of contrast and brightness."""


def jitter(
    crop: Pixels, points: npt.NDArray[np.float64], mask: Pixels | None, rng: np.random.Generator
) -> tuple[Pixels, npt.NDArray[np.float64], Pixels | None]:
    """Jitter a crop (S, S, 3) with its landmarks (5, 2) and its mask or label map (S, S), if any."""
    size = len(crop)
    angle, scale = rng.uniform(-_MAX_ROTATION, _MAX_ROTATION), rng.uniform(1 - _MAX_SCALE, 1 + _MAX_SCALE)
    shift = rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, 2) * size
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (size - 1) / 2)
    matrix = np.column_stack([linear, centre - linear @ centre + shift])
    moved = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    contrast, brightness = rng.uniform(1 - _MAX_GAIN, 1 + _MAX_GAIN, 2)
    relit = np.clip((moved.astype(np.float32) - 128) * contrast + 128 * brightness, 0, 255).round().astype(np.uint8)
    if mask is not None:
        moved_mask = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        mask = np.asarray(moved_mask, np.uint8)
    return relit, points @ linear.T + matrix[:, 2], mask
