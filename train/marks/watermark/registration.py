"""Registration of cropped pictures: the crop is found by the pilot, and the rest laid back onto the canonical grid.

A crop that keeps the share s of the width, from offset o on, is stretched over the whole grid: the pilot's frequency u
appears as s u, with its phase turned by 2 pi u o. The shares are found by the pilot's energy at each of a grid of
(s_x, s_y), independent of phases; then an inverse Fourier transform of the pilot's phases gives the offset.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import grid_sample, pad

from train.marks.watermark.carriers import GRID, PILOTS, carriers_on
from train.marks.watermark.spectrum import whiten

MIN_SHARE = 0.8
SHARE_STEP = 0.01
"""Less than half a cycle at the highest frequency of the pilot."""

MAX_CROPS = 3
"""Crops that are read. They may be neighbours of the best one, which refines it."""

MAX_POWER = 5.0
"""Largest power of one frequency, in mean powers: regular patterns of a picture must not be taken for the pilot."""

_PADDED = 2 * GRID


@dataclass(frozen=True)
class Crop:
    """The part that is left of the marked picture: offset `x`, `y`, `width` and `height` as shares of the whole."""

    x: float
    y: float
    width: float
    height: float


def find_crops(grids: torch.Tensor) -> list[list[tuple[Crop, bool]]]:
    """The most likely crops of detail grids, float (N, 256, 256), with the likeliest first.

    The second value of a pair is True where the picture is mirrored; the crop is then one of the picture mirrored back.
    """
    hypotheses, indices = _search_table(grids.device)
    extra = _PADDED - GRID
    power = whiten(torch.fft.rfft2(pad(grids, (0, extra, 0, extra)))).abs().square().flatten(1).clamp_max(MAX_POWER)
    energy = power[:, indices.flatten()].view(len(grids), PILOTS, -1).mean(1)  # (N, hypotheses)
    best = energy.topk(MAX_CROPS, 1).indices.tolist()
    return [[_locate(grid, *hypotheses[k]) for k in row] for grid, row in zip(grids, best, strict=True)]


def restore(grid: torch.Tensor, crop: Crop) -> torch.Tensor:
    """Undo a crop: a detail grid (256, 256) of it, resampled on the canonical grid; zero in the part cut off."""
    cells = (torch.arange(GRID, device=grid.device) + 0.5) / GRID
    x = (cells - crop.x) / crop.width * 2 - 1
    y = (cells - crop.y) / crop.height * 2 - 1
    points = torch.stack((x.expand(GRID, -1), y[:, None].expand(-1, GRID)), -1)
    return grid_sample(grid[None, None], points[None], mode="bicubic", padding_mode="zeros", align_corners=False)[0, 0]


def _locate(grid: torch.Tensor, width: float, height: float, mirrored: bool) -> tuple[Crop, bool]:
    """The crop of this size at the offset where the phases of the pilot agree best."""
    if mirrored:
        grid = grid.flip(1)
    carriers = carriers_on(grid.device)
    u, v = carriers.pilot.unbind(1)
    cells = (torch.arange(GRID, device=grid.device) + 0.5) / GRID
    # Fourier coefficients of the rest at the scaled frequencies of the pilot: (48, 256) @ (256, 256), then along rows.
    pilot = ((_phasors(-height * v, cells) @ grid.to(torch.complex64)) * _phasors(-width * u, cells)).sum(1)
    # The phases of the pattern refer to the centre of the first cell, half a cell from the border of the picture.
    pilot = pilot * torch.polar(torch.ones_like(u), math.pi * (u + v) / GRID) * carriers.phases.conj()
    pilot = pilot / pilot.abs().clamp_min(1e-9)
    # agreement(y, x) = sum_k Re(pilot_k exp(-2 pi i (u_k x + v_k y))) for every offset that the size allows.
    x = torch.arange(math.ceil((1 - width) * _PADDED) + 2, device=grid.device) / _PADDED
    y = torch.arange(math.ceil((1 - height) * _PADDED) + 2, device=grid.device) / _PADDED
    agreement = ((_phasors(-v, y) * pilot[:, None]).T @ _phasors(-u, x)).real
    row, column = divmod(int(agreement.argmax()), len(x))
    return Crop(float(x[column]), float(y[row]), width, height), mirrored


def _phasors(frequencies: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """exp(2 pi i f x) for all pairs: complex64 (frequencies, positions)."""
    angles = 2 * math.pi * frequencies[:, None] * positions
    return torch.polar(torch.ones_like(angles), angles)


@lru_cache(maxsize=4)
def _search_table(device: torch.device) -> tuple[list[tuple[float, float, bool]], torch.Tensor]:
    """All hypotheses (share of the width, of the height, mirrored), and the entries of the pilot for each.

    The entries are indices into the flattened rfft2 of the padded grid: int64 (48, hypotheses).
    """
    shares = torch.arange(MIN_SHARE, 1.0 + 1e-6, SHARE_STEP)
    u, v = carriers_on(torch.device("cpu")).pilot[:, :, None].unbind(1)
    across = (u * shares * 2).round().long()
    # Mirroring reverses the sign of v in the amplitude spectrum.
    indices = [
        (sign * v * shares * 2).round().long()[:, None, :] % _PADDED * (_PADDED // 2 + 1) + across[:, :, None]
        for sign in (1, -1)
    ]
    hypotheses = [(float(a), float(b), mirrored) for mirrored in (False, True) for a in shares for b in shares]
    return hypotheses, torch.cat([part.flatten(1) for part in indices], 1).to(device)
