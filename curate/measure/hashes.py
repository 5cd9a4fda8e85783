"""Photos in, 64-bit perceptual hashes out: equal or close for copies of one photo, whatever its size and coding.

The hash is the classic one of `imagehash.phash`: the signs, about their median, of the 8 x 8 lowest frequencies of a
32 x 32 grey thumbnail's cosine transform. Bit 63 is the mean's, then row by row, as in the hexadecimal
text of `imagehash`. The mirrored photo's hash needs no second transform: a mirrored cosine changes sign or does not.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.measure.luma import luma

Pixels = npt.NDArray[np.uint8]

SIDE = 32
KEPT = 8


def photo_hashes(photos: Sequence[Pixels], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Photos uint8 (H, W, 3) RGB of any size -> `phash` and `phash_mirror` (of the mirrored photo), uint64 (N,)."""
    thumbnails = [thumbnail(photo) for photo in photos]
    return thumbnail_hashes(np.stack(thumbnails) if photos else np.zeros((0, SIDE, SIDE), np.uint8), device)


def thumbnail_hashes(thumbnails: Pixels, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Thumbnails uint8 (N, 32, 32), see `thumbnail` -> `phash` and `phash_mirror`, uint64 (N,)."""
    spectrum = _spectrum(torch.from_numpy(thumbnails).to(device))
    return {"phash": _bits(spectrum), "phash_mirror": _bits(_mirrored(spectrum))}


def face_hash(crops: Tensor) -> dict[str, Tensor]:
    """Aligned crops uint8 (N, 3, H, H) RGB, H a multiple of 32 -> `face_phash`, uint64 (N,).

    Photos of one face that are framed differently still agree in it.
    """
    step = crops.shape[2] // SIDE
    small = luma(F.avg_pool2d(crops.float(), step, stride=step))
    return {"face_phash": _bits(_spectrum(small))}


def thumbnail(photo: Pixels) -> Pixels:
    """Photo uint8 (H, W, 3) RGB -> 32 x 32 grey uint8, every pixel of the photo averaged in."""
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    shrinks = min(gray.shape) >= SIDE
    return np.asarray(
        cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8
    )


def _spectrum(gray: Tensor) -> Tensor:
    """Grey (N, 32, 32) -> its lowest 8 x 8 DCT-II coefficients, float64 (N, 8, 8)."""
    # X_k = 2 sum_n x_n cos(pi k (2n + 1) / 2N)
    n = torch.arange(SIDE, device=gray.device, dtype=torch.float64)
    k = torch.arange(KEPT, device=gray.device, dtype=torch.float64)
    cosines = 2 * torch.cos(math.pi / (2 * SIDE) * k[:, None] * (2 * n + 1))  # (8, 32)
    return cosines @ gray.double() @ cosines.T


def _mirrored(spectrum: Tensor) -> Tensor:
    sign = torch.ones(KEPT, device=spectrum.device, dtype=spectrum.dtype)
    sign[1::2] = -1
    return spectrum * sign


def _bits(spectrum: Tensor) -> Tensor:
    flat = spectrum.flatten(1)
    middle = flat.sort(1).values[:, 31:33].mean(1, keepdim=True)
    bits = (flat > middle).long()
    places = torch.arange(63, -1, -1, device=bits.device)
    return (bits << places).sum(1).view(torch.uint64)
