"""64-bit perceptual hashes: equal or close for copies of one photo, whatever their size and coding.

The hash is that of `imagehash.phash`: the signs, relative to their median, of the 8 x 8 lowest frequencies of the
cosine transform of a 32 x 32 grey thumbnail. Bit 63 is the constant term's, the others follow row by row, as in the
hexadecimal text of `imagehash`. The hash of the mirrored photo needs no second transform: mirroring negates every odd
horizontal frequency.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.measure.luma import luma

SIDE = 32
"""Side of the thumbnail, px."""
FREQUENCIES = 8
"""Lowest frequencies kept along each axis."""

Gray = npt.NDArray[np.uint8]

# X_k = 2 sum_n x_n cos(pi k (2n + 1) / 2N), as a matrix (8, 32).
_COSINES = 2 * np.cos(np.pi / (2 * SIDE) * np.arange(FREQUENCIES)[:, None] * (2 * np.arange(SIDE) + 1))
_MIRROR = np.where(np.arange(FREQUENCIES) % 2, -1.0, 1.0)


def photo_hash(luma: Gray) -> dict[str, str]:
    """Hash the luma of a photo, uint8 (H, W) of any size: `phash`, and `phash_mirror` of its mirror image, in hex."""
    spectrum = _COSINES @ thumbnail(luma).astype(np.float64) @ _COSINES.T
    return {"phash": _hex_digits(spectrum), "phash_mirror": _hex_digits(spectrum * _MIRROR)}


def face_hash(crops: Tensor) -> dict[str, Tensor]:
    """Hash aligned crops, uint8 (N, 3, H, H) RGB with H a multiple of 32: `face_phash`, uint64 (N,).

    Equal or close for photos of one face that are framed differently.
    """
    step = crops.shape[2] // SIDE
    small = F.avg_pool2d(luma(crops)[:, None], step, stride=step)[:, 0]
    return {"face_phash": _bits(_spectrum(small))}


def thumbnail(luma: Gray) -> Gray:
    """Resize the luma of a photo, uint8 (H, W), to uint8 (32, 32); every pixel of the photo contributes."""
    if min(luma.shape) < SIDE:
        return np.asarray(cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
    if all(side % SIDE == 0 for side in luma.shape):
        return np.asarray(cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    # For other ratios the means follow from the integral image, linear within a pixel, in a quarter of OpenCV's time.
    total = cv2.integral(luma)
    rows = np.diff(_at_edges(total, luma.shape[0]), axis=0)
    sums = np.diff(_at_edges(rows.T, luma.shape[1]), axis=0).T
    return np.rint(sums * (SIDE**2 / luma.size)).astype(np.uint8)


def _at_edges(total: npt.NDArray[Any], length: int) -> npt.NDArray[np.float64]:
    """Rows of an integral image (length + 1, K) at the edges of SIDE equal parts of its length, (SIDE + 1, K)."""
    edges = np.arange(SIDE + 1) * (length / SIDE)
    below = np.minimum(edges.astype(np.int64), length - 1)
    share = (edges - below)[:, None]
    return np.asarray(total[below] * (1 - share) + total[below + 1] * share, np.float64)


def _spectrum(gray: Tensor) -> Tensor:
    """Grey (N, 32, 32) -> its lowest 8 x 8 DCT-II coefficients, float64 (N, 8, 8)."""
    cosines = torch.from_numpy(_COSINES).to(gray.device)
    return cosines @ gray.double() @ cosines.T


def _hex_digits(spectrum: npt.NDArray[np.float64]) -> str:
    """Spectrum (8, 8) -> the 16 digits of `_bits`."""
    flat = spectrum.ravel()
    is_set = flat > np.partition(flat, (31, 32))[31:33].mean()
    return np.packbits(is_set).tobytes().hex()


def _bits(spectrum: Tensor) -> Tensor:
    """Spectrum (N, 8, 8) -> uint64 (N,): one bit for each coefficient above the median of the 64."""
    flat = spectrum.flatten(1)
    median = flat.sort(1).values[:, 31:33].mean(1, keepdim=True)
    bits = (flat > median).long()
    positions = torch.arange(63, -1, -1, device=bits.device)
    return (bits << positions).sum(1).view(torch.uint64)
