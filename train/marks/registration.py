"""What was cropped of a marked picture: the pilot found in what is left, and the picture laid back onto the grid.

A crop that keeps the share s of the width, from o on, stretches what is left over the whole grid: the pilot's frequency
u appears as s u, turned by a phase of 2 pi u o. So the shares are found by the pilot's energy at each of a grid of
(s_x, s_y), without phases; then one inverse FFT of the pilot's phases gives the place.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import grid_sample, pad

from train.marks.carriers import GRID, PILOTS, carriers_on
from train.marks.spectrum import whitened

SMALLEST_SHARE = 0.8
STEP = 0.01
"""Of the shares tried: less than half a cycle at the pilot's highest frequency."""

CANDIDATES = 3
"""Crops read at most. Neighbours of the best are wanted among them: they refine it."""

LOUDEST = 5.0
"""Mean powers that one frequency counts at most: a picture's own stripes must not pass for a pilot."""

_PADDED = 2 * GRID


@dataclass(frozen=True)
class Crop:
    """What is left of the canonical picture: from `x`, `y` on, `width` by `height`, all as shares of the whole."""

    x: float
    y: float
    width: float
    height: float


def crops(found: torch.Tensor) -> list[list[tuple[Crop, bool]]]:
    """Details on the grid, float (N, 256, 256) -> for each the crops worth reading, the likeliest first.

    The second of a pair says whether the mirrored picture is meant; the crop is then one of the mirrored picture.
    """
    tries, places = _search_table(found.device)
    extra = _PADDED - GRID
    power = whitened(torch.fft.rfft2(pad(found, (0, extra, 0, extra)))).abs().square().flatten(1).clamp_max(LOUDEST)
    energy = power[:, places.flatten()].view(len(found), PILOTS, -1).mean(1)
    best = energy.topk(CANDIDATES, 1).indices.tolist()
    return [[_placed(grid, *tries[k]) for k in row] for grid, row in zip(found, best, strict=True)]


def restored(grid: torch.Tensor, crop: Crop) -> torch.Tensor:
    """A normalised grid (256, 256) of a crop -> the same on the canonical grid, zero where it was cut off."""
    cells = (torch.arange(GRID, device=grid.device) + 0.5) / GRID
    x = (cells - crop.x) / crop.width * 2 - 1
    y = (cells - crop.y) / crop.height * 2 - 1
    where = torch.stack((x.expand(GRID, -1), y[:, None].expand(-1, GRID)), -1)
    return grid_sample(grid[None, None], where[None], mode="bicubic", padding_mode="zeros", align_corners=False)[0, 0]


def _placed(grid: torch.Tensor, width: float, height: float, mirrored: bool) -> tuple[Crop, bool]:
    """The crop of this size at the place where the pilot's phases agree best."""
    if mirrored:
        grid = grid.flip(1)
    keyed = carriers_on(grid.device)
    u, v = keyed.pilot.unbind(1)
    cells = (torch.arange(GRID, device=grid.device) + 0.5) / GRID
    # The transform of what is left at the pilot's shrunk frequencies, (48, 256) @ (256, 256), then along the rows.
    seen = ((_turns(-height * v, cells) @ grid.to(torch.complex64)) * _turns(-width * u, cells)).sum(1)
    # The pattern has its phases at the centre of the first cell, half a cell from the border of the picture.
    seen = seen * torch.polar(torch.ones_like(u), math.pi * (u + v) / GRID) * keyed.phases.conj()
    seen = seen / seen.abs().clamp_min(1e-9)
    # agreement(y, x) = sum_k Re(seen_k exp(-2 pi i (u_k x + v_k y))) for every offset that the sizes leave room for.
    x = torch.arange(math.ceil((1 - width) * _PADDED) + 2, device=grid.device) / _PADDED
    y = torch.arange(math.ceil((1 - height) * _PADDED) + 2, device=grid.device) / _PADDED
    agreement = ((_turns(-v, y) * seen[:, None]).T @ _turns(-u, x)).real
    row, column = divmod(int(agreement.argmax()), len(x))
    return Crop(float(x[column]), float(y[row]), width, height), mirrored


def _turns(frequencies: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """exp(2 pi i f x) for all pairs, complex64 (frequencies, positions)."""
    angles = 2 * math.pi * frequencies[:, None] * positions
    return torch.polar(torch.ones_like(angles), angles)


@lru_cache(maxsize=4)
def _search_table(device: torch.device) -> tuple[list[tuple[float, float, bool]], torch.Tensor]:
    """(share of the width, of the height, mirrored) of each try; (48, tries): its pilot in the padded, flat rfft2."""
    steps = torch.arange(SMALLEST_SHARE, 1.0 + 1e-6, STEP)
    u, v = carriers_on(torch.device("cpu")).pilot[:, :, None].unbind(1)
    across = (u * steps * 2).round().long()
    # A mirrored picture has the spectrum of the picture with v reversed, but for phases.
    places = [
        (side * v * steps * 2).round().long()[:, None, :] % _PADDED * (_PADDED // 2 + 1) + across[:, :, None]
        for side in (1, -1)
    ]
    tries = [(float(a), float(b), mirrored) for mirrored in (False, True) for a in steps for b in steps]
    return tries, torch.cat([part.flatten(1) for part in places], 1).to(device)
