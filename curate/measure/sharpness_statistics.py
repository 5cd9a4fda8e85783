"""Blur statistics of aligned faces: energies of detail, less the noise, inside the face.

All statistics are taken on the tone of the 224 px crop, on which the eyes are about 65 px apart whatever the photo's
size, as logarithms of ratios of energies, so that contrast cancels. The tone is the logarithm of the luma: a dark part
of the face counts as much as a lit one, and highlights that are clipped draw weaker edges. Energies are averaged over
the face without its outline, so that neither a blurred nor a sharp background counts.

Noise adds energy to every part of the face, edges only to some. The energy of the flattest fifth of the cells is
therefore taken as noise and subtracted from the mean, band by band and direction by direction, whatever the noise's
spectrum. It is measured per slope of the tone, because noise of the luma is larger in the tone of dark parts. The
finest pixels, up to sigma 1 px, are left out: in photos they hold more noise and coding than detail.

Faces of few pixels whose edges were sharpened have the energies of sharp ones; their spectrum shows them (`detail.py`).
"""

import math
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.measure.cells import cell_means, halved
from curate.measure.detail import detail_octaves
from curate.measure.luma import luma
from curate.measure.region import CELL, face_region

Floats = npt.NDArray[np.float32]

SIZE = 224
"""Side of the crops, px."""

TOP, LEFT, SIDE = 48, 32, 160
"""The square of the crop that is measured, px: with the simswap-224 template the face lies inside."""

EROSION = 2
"""Cells of CELL px removed all around the face."""

BLOCK = 8
"""Side of the cells over which energies are averaged, px."""

CACHED_FACES = 4
"""Faces whose energies are computed at a time on a CPU: 100 KB a plane."""

NOISE_QUANTILE = 0.2
"""Share of the face's cells that are flatter than the noise's energy."""

NOISE_GAIN = 1.2
"""Mean over NOISE_QUANTILE of the energy that white noise has in the cells of the finest band."""

MAX_NOISE = 15.0**2
"""Energy, in squared grey levels, above which the flattest cells hold structure, as in a dense line drawing."""

MIN_UNCLIPPED = 0.1
"""Share of the face's cells from which the noise is measured on unclipped ones alone; clipping removes noise."""

TONE_OFFSET, TONE_MIDDLE = 6.0, 128.0
"""Luma added before the logarithm, about the noise and the coding of dark parts, and the luma at which a step of the
tone is one of the luma."""

DETAIL_FLOOR, COARSE_FLOOR = 1e-4, 0.05
"""Energies, in squared levels of the tone, added to the numerator and the denominator of a ratio. Without any detail
the ratio is that of the strongest blur; rounding to 8 bits leaves 1/12 and less at TONE_MIDDLE."""

EDGE_BOUND = (-0.75, 5.0)
"""Intercept and slope of the largest `fine_ratio` at an `edge_ratio_min`: faces lie below, blurred or not; where all
detail is noise, the edges decide."""

WHITE_NOISE_SHARE = 1 - 1 / math.pi + 1 / (4 * math.pi)
"""Share of the energy of white noise that remains after its smooth version, sigma 1 px, is subtracted."""

STATISTICS = ("fine_ratio", "edge_ratio_min", "detail_octaves")
"""Statistics that the sharpness score is computed from; each one falls with blur."""

VERSION = 4
"""Increases when the statistics change: shards are measured again, and calibrations of another version are refused."""


def sharpness_statistics(crops: Tensor, labels: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Measure the blur statistics of N faces.

    With S(s) the tone smoothed by a Gaussian of s px, <e> the mean over the face of the energy e less that of noise,
    and d the derivative along one of four directions:

    Args:
        crops: uint8 (N, 3, 224, 224) RGB.
        labels: uint8 (N, 224, 224), label maps.
        points: (N, 5, 2), landmarks in crop px.

    Returns:
        STATISTICS and `noise`, each float32 (N,):

        - `fine_ratio`: log10 <(S(1) - S(2))^2> / <(S(2) - S(4))^2>, at most what the edges allow (EDGE_BOUND).
        - `edge_ratio_min`: log10 <(d S(1))^2> / <(d S(2))^2>, the minimum over the directions (motion blur). An edge
          blurred by sigma gives (sigma^2 + 4) / (sigma^2 + 1) to the power 1/2. After Zhuo and Sim, "Defocus map
          estimation from a single image", 2011.
        - `detail_octaves`: see `detail.py`.
        - `noise`: standard deviation of white noise with the energy that the flattest cells of the luma have above
          sigma 1 px, in grey levels.

    Raises:
        ValueError: the crops are not 224 px wide and high.
    """
    if crops.shape[2:] != (SIZE, SIZE):
        raise ValueError(f"sharpness is measured on {SIZE} px crops, got {tuple(crops.shape[2:])}")
    window = slice(TOP, TOP + SIDE), slice(LEFT, LEFT + SIDE)
    in_cells = slice(TOP // CELL, (TOP + SIDE) // CELL), slice(LEFT // CELL, (LEFT + SIDE) // CELL)
    region = face_region(labels, points, EROSION)[:, *in_cells].float()
    face = cell_means(region, BLOCK // CELL)  # (N, 20, 20), share of each cell
    weight = face / face.sum((1, 2), keepdim=True).clamp(min=1e-6)
    clipped = _clipped_cells(crops[:, 1, *window])
    flat = _noise_cells(face, clipped)
    # On the CPU few faces at a time, whose planes stay in its cache.
    parts = torch.split(crops[:, :, *window], CACHED_FACES if crops.device.type == "cpu" else max(1, len(crops)))
    lumas = [luma(part) for part in parts]
    brightness, noise, *tone_energies = torch.cat([_energies(gray) for gray in lumas], 1)
    energies = torch.stack(tone_energies)  # (10, N, 20, 20)
    # Energy of the tone per energy of the luma.
    slope = ((TONE_MIDDLE + TONE_OFFSET) / (brightness + TONE_OFFSET)) ** 2

    def noise_of(energy: Tensor) -> Tensor:  # (..., N, 20, 20) -> (..., N)
        return torch.nanquantile(energy.masked_fill(~flat, math.nan).flatten(-2), NOISE_QUANTILE, dim=-1)

    def mean(energy: Tensor) -> Tensor:  # (..., N, 20, 20) -> (..., N)
        return (energy * weight).sum((-2, -1))

    def log_ratio(above: Tensor, below: Tensor) -> Tensor:
        return torch.log10((above + DETAIL_FLOOR) / (below + COARSE_FLOOR))

    denoised = (mean(energies) - noise_of(energies / slope).clamp(max=MAX_NOISE) * mean(slope)).clamp(min=0)
    fine, coarse, steep, wide = torch.split(denoised, [1, 1, 4, 4])
    edge_ratio_min = log_ratio(steep, wide).amin(0)
    intercept, slope_of_bound = EDGE_BOUND
    return {
        "fine_ratio": log_ratio(fine[0], coarse[0]).minimum(intercept + slope_of_bound * edge_ratio_min),
        "edge_ratio_min": edge_ratio_min,
        "detail_octaves": detail_octaves(torch.cat(lumas), face, clipped),
        "noise": (NOISE_GAIN * noise_of(noise) / WHITE_NOISE_SHARE).sqrt(),
    }


def _energies(gray: Tensor) -> Tensor:
    """Luma (N, 160, 160) -> means over cells (12, N, 20, 20).

    Of the luma; of the energy of its finest detail; then of the energies of the tone: of its fine and its coarse band,
    and of its derivatives along four directions at sigma 1 px and at 2 px.
    """
    tone = (TONE_MIDDLE + TONE_OFFSET) * torch.log(gray + TONE_OFFSET)
    smooth1, smooth2 = _gaussian(tone, 1.0), _gaussian(tone, 2.0)
    # A quarter of the pixels represents the coarse band without loss.
    half = halved(smooth2)
    coarse = half - _gaussian(half, math.sqrt(4.0**2 - 2.0**2) / 2)
    planes = [
        cell_means(gray, BLOCK),
        cell_means((gray - _gaussian(gray, 1.0)).square_(), BLOCK),
        cell_means((smooth1 - smooth2).square_(), BLOCK),
        cell_means(coarse.square_(), BLOCK // 2),
    ]
    return torch.stack([*planes, *_directional(smooth1), *_directional(smooth2)])


def _clipped_cells(green: Tensor) -> Tensor:
    """Return the cells with clipped pixels, bool (N, 20, 20), of the channel with most of the luma, (N, 160, 160)."""
    count, side, _ = green.shape
    rows = green.contiguous().reshape(count, side // BLOCK, BLOCK, -1).amax(2)  # (N, 20, 160)
    return rows.reshape(count, side // BLOCK, -1, BLOCK).amax(3) >= 254


def _noise_cells(face: Tensor, clipped: Tensor) -> Tensor:
    """Return the cells from which noise is measured, bool (N, 20, 20): the face's whole ones, unclipped where possible.

    Args:
        face: share of each cell inside the face, (N, 20, 20).
        clipped: bool (N, 20, 20).
    """
    whole = face > 0.99
    whole = torch.where(whole.any(2).any(1)[:, None, None], whole, face >= face.amax((1, 2), keepdim=True))
    unclipped = whole & ~clipped
    enough = unclipped.sum((1, 2)) >= MIN_UNCLIPPED * whole.sum((1, 2))
    return torch.where(enough[:, None, None], unclipped, whole)


def _directional(smooth: Tensor) -> list[Tensor]:
    """Images (N, 160, 160) -> energies of their derivatives along 0, 45, 90 and 135 degrees, each (N, 20, 20)."""
    gx, gy = _gradient(smooth)
    # A derivative along (c, s) is c gx + s gy, so three means give the energies of all directions.
    xx, yy, xy = (cell_means(a * b, BLOCK) / 4 for a, b in ((gx, gx), (gy, gy), (gx, gy)))
    return [xx, (xx + yy) / 2 + xy, yy, (xx + yy) / 2 - xy]


def _gaussian(image: Tensor, sigma: float) -> Tensor:
    """Smooth images float32 (N, H, H), borders renormalised; see `filtered` and `multiplied`."""
    return filtered(image, sigma) if image.device.type == "cpu" else multiplied(image, sigma)


def filtered(image: Tensor, sigma: float) -> Tensor:
    """Smooth images on the CPU by a separable filter of 5 sigma to each side; within 1e-3 levels of `multiplied`."""
    taps, edges = _taps(sigma, image.shape[1])
    smooth = np.empty(image.shape, np.float32)
    for plane, result in zip(image.numpy(), smooth, strict=True):
        cv2.sepFilter2D(plane, -1, taps, taps, result, borderType=cv2.BORDER_CONSTANT)
    smooth /= edges
    return torch.from_numpy(smooth)


@cache
def _taps(sigma: float, side: int) -> tuple[Floats, Floats]:
    """Kernel of `filtered`, and what it sums to at each pixel of a square of `side` px, (side, side)."""
    radius = math.ceil(5 * sigma)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2)).astype(np.float32)
    edges = cv2.sepFilter2D(np.ones((side, side), np.float32), -1, taps, taps, borderType=cv2.BORDER_CONSTANT)
    return taps, np.asarray(edges, np.float32)


def multiplied(image: Tensor, sigma: float) -> Tensor:
    """Smooth images on any device by a dense product a side, on a GPU faster than a narrow convolution."""
    position = torch.arange(image.shape[2], device=image.device, dtype=image.dtype)
    kernel = torch.exp(-((position[:, None] - position) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    return kernel @ (image @ kernel.T)


def _pad(image: Tensor) -> Tensor:
    """Replicate the border by one pixel."""
    return F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]


def _gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """Twice the central differences along x and along y."""
    p = _pad(image)
    return p[:, 1:-1, 2:] - p[:, 1:-1, :-2], p[:, 2:, 1:-1] - p[:, :-2, 1:-1]
