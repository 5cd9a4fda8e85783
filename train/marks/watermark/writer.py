"""Adds the watermark of an ID to pictures."""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from train.marks.watermark.carriers import carriers_on
from train.marks.watermark.grid import box_mean, luma_grid, to_tensor, variance

Pixels = npt.NDArray[np.uint8]

SSIM_LOSS = 0.03, 0.02
"""Approximate loss of SSIM: for a short side of up to 256 px, where compression hurts most, and of 512 px and more."""

MIN_VARIANCE = 27.0
"""Grey levels squared: the variance assumed in flat areas. A little less than C2 / 2 = 29.25 of SSIM."""

MAX_LOCAL_RMS = 12.0
"""Grey levels: largest RMS of the mark anywhere in a picture."""

MAX_RMS = 3.2
"""Grey levels: largest RMS of the mark over a picture. A PSNR of 38 dB, slightly more after the interpolation."""

SAMPLE_ID = 0x5A3B1E00
"""The ID of pictures that are no results of a swap: sample grids of training and evaluation."""

_MAX_BATCH_PIXELS = 1 << 23  # bounds the memory for large frames


class Watermark:
    """The watermark of one ID, for pictures on `device`."""

    def __init__(self, mark_id: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._pattern = carriers_on(self.device).pattern(mark_id)

    def mark(self, rgb: Pixels) -> Pixels:
        """Mark pictures of one size, uint8 (N, H, W, 3) RGB; returns a new array of the same shape."""
        if rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"pictures {rgb.dtype} {rgb.shape}: must be uint8 (N, H, W, 3)")
        step = max(1, _MAX_BATCH_PIXELS // max(1, rgb.shape[1] * rgb.shape[2]))
        marked = [self._mark_batch(rgb[start : start + step]) for start in range(0, len(rgb), step)]
        return np.concatenate(marked) if marked else rgb.copy()

    def _mark_batch(self, rgb: Pixels) -> Pixels:
        pixels = to_tensor(rgb, self.device)
        # SSIM = (2 s^2 + C2) / (2 s^2 + n^2 + C2) for a mark of variance n^2 on a picture of variance s^2, C2 = 58.5:
        # n^2 = 2 loss (s^2 + C2 / 2) loses about as much SSIM everywhere.
        loss = float(np.interp(min(rgb.shape[1:3]), (256, 512), SSIM_LOSS))
        rms = (2 * loss * (MIN_VARIANCE + variance(luma_grid(pixels)))).sqrt().clamp_max(MAX_LOCAL_RMS)
        change = box_mean(rms, 3) * self._pattern  # (N, 256, 256)
        total_rms = change.square().mean((1, 2), keepdim=True).sqrt()
        change *= (MAX_RMS / total_rms).clamp_max(1)
        change = interpolate(change[:, None], pixels.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
        levels = change.round_().to(torch.int16)
        result = pixels.to(torch.int16)
        for channel in range(3):  # several times faster than broadcasting over the last axis
            result[..., channel] += levels
        marked: Pixels = result.clamp_(0, 255).to(torch.uint8).cpu().numpy()
        return marked


def mark_sample(picture: Pixels) -> Pixels:
    """Mark a picture with generated faces that is shown during training or evaluation: uint8 (H, W, 3) RGB."""
    marked: Pixels = Watermark(SAMPLE_ID).mark(picture[None])[0]
    return marked
