"""Adds the watermark of an ID to pictures."""

import cv2
import numpy as np
import numpy.typing as npt

from train.marks.watermark.carriers import carriers
from train.marks.watermark.grid import Floats, box_mean, cells_of, luma, resample, variance

Pixels = npt.NDArray[np.uint8]

MAX_SSIM_LOSS = 0.025
"""Largest estimated loss of SSIM of a picture."""

MAX_RMS = 3.15
"""Grey levels: largest RMS of the mark over a picture. A PSNR of 38.1 dB."""

MIN_VARIANCE = 27.0
"""Grey levels squared: the variance assumed in flat areas. A little less than C2 / 2 = 29.25 of SSIM."""

MAX_LOCAL_RMS = 12.0
"""Grey levels: largest RMS of the mark anywhere in a picture."""

MAX_FLAT_RMS = 1.6
"""Grey levels: largest RMS of the mark in flat areas, where noise is seen most easily."""

BLACK, MIN_BLACK_SHARE = 8.0, 0.3
"""Level of a channel below which the mark is weaker, and its share at black."""

SAMPLE_ID = 0x5A3B1E00
"""The ID of pictures that are no results of a swap: sample grids of training and evaluation."""

_C2 = (0.03 * 255) ** 2  # of SSIM


class Watermark:
    """The watermark of one ID."""

    def __init__(self, mark_id: int) -> None:
        self._tile = carriers().pattern(mark_id)

    def mark(self, rgb: Pixels) -> Pixels:
        """Mark pictures of one size, uint8 (N, H, W, 3) RGB; returns a new array of the same shape."""
        return self._changed(rgb, 1)

    def remove(self, rgb: Pixels) -> Pixels:
        """Take the mark out of pictures that carry it as `mark` adds it, all but a small rest."""
        return self._changed(rgb, -1)

    def _changed(self, rgb: Pixels, sign: int) -> Pixels:
        if rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"pictures {rgb.dtype} {rgb.shape}: must be uint8 (N, H, W, 3)")
        pattern = self._pattern(*cells_of(*rgb.shape[1:3])) if len(rgb) else None
        marked = np.empty_like(rgb)
        for number, picture in enumerate(rgb):
            assert pattern is not None
            marked[number] = _mark(np.ascontiguousarray(picture), sign * pattern)
        return marked

    def _pattern(self, rows: int, columns: int) -> Floats:
        """The tile repeated over a grid: float32 (rows, columns)."""
        size = len(self._tile)
        return np.tile(self._tile, (-(-rows // size), -(-columns // size)))[:rows, :columns]


def _mark(rgb: Pixels, pattern: Floats) -> Pixels:
    height, width = rgb.shape[:2]
    # A noise n^2 on a picture of variance s^2 has SSIM = (2 s^2 + C2) / (2 s^2 + n^2 + C2), C2 = 58.5: n^2 proportional
    # to s^2 + C2 / 2 loses about as much everywhere.
    grid = resample(luma(rgb), *pattern.shape)
    activity = np.minimum(np.sqrt(1 + variance(grid) / MIN_VARIANCE), MAX_LOCAL_RMS / MAX_FLAT_RMS)
    # Where a channel is black, half of the mark is cut off, and the rest brightens it.
    shares = np.clip(resample(rgb, *pattern.shape) / BLACK, MIN_BLACK_SHARE, 1).mean(2)
    change = box_mean(activity * shares, 3) * pattern
    change = np.asarray(cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    rms = float(np.sqrt(np.square(change).mean()))
    change *= min(MAX_FLAT_RMS, MAX_RMS / max(1e-6, rms), _tolerable(rgb, change))
    levels = np.rint(change).astype(np.int16)
    return np.asarray(cv2.add(rgb, cv2.merge([levels] * 3), dtype=cv2.CV_8U), np.uint8)


def _tolerable(rgb: Pixels, change: Floats) -> float:
    """The factor of a change (H, W) that loses MAX_SSIM_LOSS, estimated in blocks of 8 x 8 px."""
    blocks = max(1, rgb.shape[1] // 8), max(1, rgb.shape[0] // 8)
    values = rgb.astype(np.float32)
    mean = cv2.resize(values, blocks, interpolation=cv2.INTER_AREA)
    signal = 2 * np.maximum(cv2.resize(values * values, blocks, interpolation=cv2.INTER_AREA) - mean * mean, 0) + _C2
    noise = cv2.resize(change * change, blocks, interpolation=cv2.INTER_AREA)
    noise = (noise - np.square(cv2.resize(change, blocks, interpolation=cv2.INTER_AREA)))[..., None]
    low, high = 0.0, 2 * MAX_FLAT_RMS
    for _ in range(8):
        factor = (low + high) / 2
        added = factor * factor * noise
        low, high = (factor, high) if float((added / (signal + added)).mean()) < MAX_SSIM_LOSS else (low, factor)
    return low


def mark_sample(picture: Pixels) -> Pixels:
    """Mark a picture with generated faces that is shown during training or evaluation: uint8 (H, W, 3) RGB."""
    marked: Pixels = Watermark(SAMPLE_ID).mark(picture[None])[0]
    return marked
