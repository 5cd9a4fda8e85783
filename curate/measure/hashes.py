"""64-bit perceptual hashes: equal or close for copies of one photo, whatever their size and coding.

The hash is that of `imagehash.phash`: the signs, relative to their median, of the 8 x 8 lowest frequencies of the
cosine transform of a 32 x 32 grey thumbnail. Bit 63 is the constant term's, the others follow row by row, as in the
hexadecimal text of `imagehash`. The hash of the mirrored photo needs no second transform: mirroring negates every odd
horizontal frequency.
"""

import math

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.decode import Pixels
from curate.measure.luma import luma

SIDE = 32
"""Side of the thumbnail, px."""
FREQUENCIES = 8
"""Lowest frequencies kept along each axis."""


def photo_hash(pixels: Pixels) -> dict[str, str]:
    """Hash a photo, uint8 (H, W, 3) RGB of any size: `phash`, and `phash_mirror` of its mirror image; 16 hex digits."""
    spectrum = _spectrum(torch.from_numpy(thumbnail(pixels))[None])
    plain, mirrored = (f"{int(_bits(version).numpy()[0]):016x}" for version in (spectrum, _mirrored(spectrum)))
    return {"phash": plain, "phash_mirror": mirrored}


def face_hash(crops: Tensor) -> dict[str, Tensor]:
    """Hash aligned crops, uint8 (N, 3, H, H) RGB with H a multiple of 32: `face_phash`, uint64 (N,).

    Equal or close for photos of one face that are framed differently.
    """
    step = crops.shape[2] // SIDE
    small = luma(F.avg_pool2d(crops.float(), step, stride=step))
    return {"face_phash": _bits(_spectrum(small))}


def thumbnail(pixels: Pixels) -> Pixels:
    """Resize a photo, uint8 (H, W, 3) RGB, to uint8 (32, 32) grey; every pixel of the photo contributes."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    interpolation = cv2.INTER_AREA if min(gray.shape) >= SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(gray, (SIDE, SIDE), interpolation=interpolation), np.uint8)


def _spectrum(gray: Tensor) -> Tensor:
    """Grey (N, 32, 32) -> its lowest 8 x 8 DCT-II coefficients, float64 (N, 8, 8)."""
    # X_k = 2 sum_n x_n cos(pi k (2n + 1) / 2N)
    n = torch.arange(SIDE, device=gray.device, dtype=torch.float64)
    k = torch.arange(FREQUENCIES, device=gray.device, dtype=torch.float64)
    cosines = 2 * torch.cos(math.pi / (2 * SIDE) * k[:, None] * (2 * n + 1))  # (8, 32)
    return cosines @ gray.double() @ cosines.T


def _mirrored(spectrum: Tensor) -> Tensor:
    sign = torch.ones(FREQUENCIES, device=spectrum.device, dtype=spectrum.dtype)
    sign[1::2] = -1
    return spectrum * sign


def _bits(spectrum: Tensor) -> Tensor:
    """Spectrum (N, 8, 8) -> uint64 (N,): one bit for each coefficient above the median of the 64."""
    flat = spectrum.flatten(1)
    median = flat.sort(1).values[:, 31:33].mean(1, keepdim=True)
    bits = (flat > median).long()
    positions = torch.arange(63, -1, -1, device=bits.device)
    return (bits << positions).sum(1).view(torch.uint64)
