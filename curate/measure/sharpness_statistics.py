"""Blur statistics of aligned faces, independent of contrast, measured inside the face.

All statistics are taken on the luma of the 224 px crop, on which the eyes are about 65 px apart whatever the photo's
size, as ratios of energies (so that light and contrast cancel), averaged over the face without its outline (so that
neither a blurred nor a sharp background counts).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from curate.measure.luma import luma
from curate.measure.region import CELL, face_region

SIZE = 224
"""Side of the crops, px."""

TOP, LEFT, SIDE = 48, 32, 160
"""The square of the crop that is measured, px: with the simswap-224 template the face lies inside."""

EROSION = 2
"""Cells of CELL px removed all around the face."""

FLOOR = 0.05
"""Energy, in squared grey levels, added to both sides of a ratio; rounding to 8 bits leaves 1/12 and less."""

STATISTICS = (
    "laplacian",
    "tenengrad",
    "band_ratio",
    "fine_ratio",
    "reblur",
    "edge_ratio",
    "edge_ratio_min",
)


def sharpness_statistics(crops: Tensor, labels: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Measure the blur statistics of N faces.

    Args:
        crops: uint8 (N, 3, 224, 224) RGB.
        labels: uint8 (N, 224, 224), label maps.
        points: (N, 5, 2), landmarks in crop px.

    Returns:
        STATISTICS, each float32 (N,):

        - `laplacian`: log10 of the Laplacian energy over the variance of the luma; `tenengrad`: the same of the
          gradient energy.
        - `band_ratio`: log10 of the energy between sigma 1 and 2 px over that between 4 and 8 px.
        - `fine_ratio`: log10 of the energy below sigma 1 px over that between 1 and 2 px; high in noise.
        - `reblur`: relative change of neighbouring differences by a 9 px box blur, 0 (already blurred) to 1, the
          smaller of both directions. One minus the measure of Crete et al., "The blur effect", 2007.
        - `edge_ratio`: steepness of edges after smoothing by sigma 1 px over that after 2 px, mean over four
          directions, weighted by the square of the smoother gradient; a step edge gives 2, a wide edge 1. After
          Zhuo and Sim, "Defocus map estimation from a single image", 2011. `edge_ratio_min`: the minimum over the
          directions (motion blur).

    Raises:
        ValueError: the crops are not 224 px wide and high.
    """
    if crops.shape[2:] != (SIZE, SIZE):
        raise ValueError(f"sharpness is measured on {SIZE} px crops, got {tuple(crops.shape[2:])}")
    window = slice(TOP, TOP + SIDE), slice(LEFT, LEFT + SIDE)
    gray = luma(crops[:, :, *window])
    cells = face_region(labels, points, EROSION)[
        :, TOP // CELL : (TOP + SIDE) // CELL, LEFT // CELL : (LEFT + SIDE) // CELL
    ].float()
    cells = cells / (CELL**2 * cells.sum((1, 2), keepdim=True)).clamp(min=1)
    weight = cells.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)

    def mean(image: Tensor) -> Tensor:  # (N, SIDE, SIDE) -> (N,), over the face
        return (image.flatten(1)[:, None] @ weight.flatten(1)[:, :, None])[:, 0, 0]

    def log_ratio(above: Tensor, below: Tensor) -> Tensor:
        return torch.log10((above + FLOOR) / (below + FLOOR))

    smooth1, smooth2 = _gaussian(gray, 1.0), _gaussian(gray, 2.0)
    # A quarter of the pixels represents the coarse bands without loss.
    half = F.avg_pool2d(smooth2, 2)
    low = _gaussian(half, math.sqrt(4.0**2 - 2.0**2) / 2) - _gaussian(half, math.sqrt(8.0**2 - 2.0**2) / 2)
    mid = mean((smooth1 - smooth2).square_())
    low_energy = mean(low.square_().repeat_interleave(2, 1).repeat_interleave(2, 2))
    variance = mean((gray - mean(gray)[:, None, None]).square_())
    edges = _edge_ratios(smooth1, smooth2, mean)
    return {
        "laplacian": log_ratio(mean(_laplacian(gray).square_()), variance),
        "tenengrad": log_ratio(mean(_sobel(gray)), variance),
        "band_ratio": log_ratio(mid, low_energy),
        "fine_ratio": log_ratio(mean((gray - smooth1).square_()), mid),
        "reblur": _reblur(gray, mean),
        "edge_ratio": edges.mean(1),
        "edge_ratio_min": edges.amin(1),
    }


def _edge_ratios(smooth1: Tensor, smooth2: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
    """Luma smoothed by sigma 1 and by 2 px -> ratio of their edges' steepness, (N, 4), one column a direction."""
    (gx1, gy1), (gx2, gy2) = _gradient(smooth1), _gradient(smooth2)
    # A derivative along (c, s) is c gx + s gy, so six means give the energies of all directions.
    fine = mean(gx1 * gx2), mean(gy1 * gy2), mean(gx1 * gy2 + gy1 * gx2)
    wide = mean(gx2 * gx2), mean(gy2 * gy2), mean(gx2 * gy2) * 2
    ratios = []
    for c, s in ((1.0, 0.0), (math.sqrt(0.5), math.sqrt(0.5)), (0.0, 1.0), (-math.sqrt(0.5), math.sqrt(0.5))):
        above, below = (c * c * x + s * s * y + c * s * xy for x, y, xy in (fine, wide))
        ratios.append((above + FLOOR) / (below + FLOOR))
    return torch.stack(ratios, 1)


def _gaussian(image: Tensor, sigma: float) -> Tensor:
    """Smooth images (N, H, H), borders renormalised. One dense product a side is faster than a narrow convolution."""
    position = torch.arange(image.shape[2], device=image.device, dtype=image.dtype)
    kernel = torch.exp(-((position[:, None] - position) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    return kernel @ (image @ kernel.T)


def _pad(image: Tensor) -> Tensor:
    """Replicate the border by one pixel."""
    return F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]


def _gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and along y."""
    p = _pad(image)
    return (p[:, 1:-1, 2:] - p[:, 1:-1, :-2]) / 2, (p[:, 2:, 1:-1] - p[:, :-2, 1:-1]) / 2


def _sobel(image: Tensor) -> Tensor:
    """Squared gradient of the 3x3 Sobel filters."""
    p = _pad(image)
    rows = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    columns = p[:, :, :-2] + 2 * p[:, :, 1:-1] + p[:, :, 2:]
    return (rows[:, :, 2:] - rows[:, :, :-2]).square_() + (columns[:, 2:] - columns[:, :-2]).square_()


def _laplacian(image: Tensor) -> Tensor:
    """Four-neighbour Laplacian."""
    p = _pad(image)
    return p[:, 1:-1, 2:] + p[:, 1:-1, :-2] + p[:, 2:, 1:-1] + p[:, :-2, 1:-1] - 4 * image


def _reblur(gray: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
    """Share of the neighbouring differences that a box blur removes, the smaller of both directions, (N,)."""
    ratios = []
    for image in (gray, gray.mT):
        before = image.diff(dim=2, append=image[:, :, -1:])
        # Differences of a 9 px running mean: (x[i + 5] - x[i - 4]) / 9.
        after = torch.zeros_like(before)
        after[:, :, 4:-5] = (image[:, :, 9:] - image[:, :, :-9]) / 9
        before, after = before.abs_(), after.abs_()
        lost = (before - after).clamp_(min=0)
        if image is not gray:
            lost, before = lost.mT, before.mT
        ratios.append((mean(lost) + FLOOR) / (mean(before) + FLOOR))
    return torch.minimum(*ratios)
