"""Detail of aligned faces: the effective resolution of a face on its crop.

The spectrum of the face's textured parts shows where detail ends, as that of a photo does, and the network of
`resolution` evaluates it: a crop in which detail ends at half the highest frequency that its pixels represent could be
half as large. It makes no difference whether the photo is small, was enlarged before, or is out of focus.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from curate.measure.cells import cell_means
from curate.measure.resolution import octaves
from curate.measure.spectrum import AVERAGED, FREQUENCIES, SPECTRUM_FLOOR, TILE, WAVES

STEP = TILE // 2
"""Distance of neighbouring tiles, px."""

TEXTURED, FLAT = 16, 5
"""Tiles of the face that are measured: those with the strongest gradients, and the flattest."""

MIN_SHARE = 0.5
"""Share of a tile inside the face; where fewer than TEXTURED tiles have it, those with the largest share are taken."""

BRIGHTNESS, MIN_GAIN, MAX_GAIN = 110.0, 0.7, 3.0
"""Mean luma of the face to which it is scaled, and bounds of the factor: the network was fitted on photos,
whose faces are about as bright, and its estimate depends on the level of noise and coding."""

MIN_UNCLIPPED = 0.1
"""Share of the crop's cells that must be unclipped parts of the face for clipped ones to be left out: the border of a
highlight is an edge that no blur softens."""


def detail_octaves(gray: Tensor, face: Tensor, clipped: Tensor) -> Tensor:
    """Estimate the resolution of N faces.

    Args:
        gray: luma, float32 (N, H, H), 0-255; H a multiple of STEP.
        face: share of each cell inside the face, float32 (N, C, C), where STEP is a multiple of H / C.
        clipped: cells with clipped pixels, bool (N, C, C).

    Returns:
        float32 (N,): log2 of the share of the pixels, along each axis, that carry detail; 0 is all of them.
    """
    cell = gray.shape[1] // face.shape[1]
    brightness = (cell_means(gray, cell) * face).sum((1, 2)) / face.sum((1, 2)).clamp(min=1)
    gray = gray * (BRIGHTNESS / brightness.clamp(min=1)).clamp(MIN_GAIN, MAX_GAIN)[:, None, None]
    unclipped = face * ~clipped
    enough = (unclipped > MIN_SHARE).float().mean((1, 2)) > MIN_UNCLIPPED
    face = torch.where(enough[:, None, None], unclipped, face)

    # Choose the tiles.
    along_x, along_y = (gray[:, :, 1:] - gray[:, :, :-1]).abs_(), (gray[:, 1:] - gray[:, :-1]).abs_()
    inner = gray.shape[1] - 1
    tile_sums = _tile_sums(inner).to(gray.device)
    energy = tile_sums @ (along_x[:, :inner] + along_y[:, :, :inner]) @ tile_sums.T  # (N, G, G)
    share = F.avg_pool2d(face[:, None], TILE // cell, STEP // cell)[:, 0].flatten(1).clamp(max=MIN_SHARE)
    columns, energy = energy.shape[2], energy.flatten(1)
    inside = share >= share.topk(TEXTURED, 1).values[:, -1:]
    textured = energy.masked_fill(~inside, -1).topk(TEXTURED, 1).indices
    flat = energy.masked_fill(~inside, torch.inf).topk(FLAT, 1, largest=False).indices
    chosen = torch.cat([textured, flat], 1)

    # Read their spectrum.
    tiles = gray.unfold(1, TILE, STEP).unfold(2, TILE, STEP)  # (N, G, G, TILE, TILE)
    rows = torch.arange(len(gray), device=gray.device)[:, None]
    power = _power(tiles[rows, chosen // columns, chosen % columns])  # (N, TEXTURED + FLAT, 2, FREQUENCIES)
    levels = [torch.log10(_median(part) + SPECTRUM_FLOOR) for part in torch.split(power, [TEXTURED, FLAT], 1)]
    repeated = torch.minimum(_repeated(along_x.mean(1)), _repeated(along_y.mean(2)))
    values = torch.cat([*levels, repeated[:, None]], 1).cpu().numpy()
    return torch.from_numpy(octaves(values)).float().to(gray.device)


@cache
def _tile_sums(length: int) -> Tensor:
    """Matrix (G, length) that sums the TILE - 1 differences of neighbouring pixels within each tile of a line."""
    position, start = torch.arange(length), STEP * torch.arange((length - TILE + 1) // STEP + 1)[:, None]
    return ((position >= start) & (position < start + TILE - 1)).float()


def _power(tiles: Tensor) -> Tensor:
    """Power along both axes of tiles (N, K, TILE, TILE), as in `spectrum`: (N, K, 2, FREQUENCIES)."""
    head = tiles.shape[:2]
    rows = tiles.reshape(*head, TILE // AVERAGED, AVERAGED, TILE).mean(3)
    columns = tiles.reshape(*head, TILE, TILE // AVERAGED, AVERAGED).mean(4).transpose(2, 3)
    lines = torch.stack([rows, columns], 2)
    lines = lines - lines.mean(-1, keepdim=True)  # (N, K, 2, TILE / AVERAGED, TILE)
    waves = (lines @ torch.from_numpy(WAVES).to(tiles.device)).square_()
    return (waves[..., :FREQUENCIES] + waves[..., FREQUENCIES:]).mean(3)


def _median(power: Tensor) -> Tensor:
    """Median over tiles and axes: (N, K, 2, FREQUENCIES) -> (N, FREQUENCIES)."""
    ordered = power.flatten(1, 2).sort(1).values
    return (ordered[:, (ordered.shape[1] - 1) // 2] + ordered[:, ordered.shape[1] // 2]) / 2


def _repeated(steps: Tensor) -> Tensor:
    """Share of lines that repeat the one before, (N,); `steps` (N, H - 1): mean difference from the line before."""
    around = F.max_pool1d(steps[:, None], 7, 1, 3)[:, 0]
    return ((0.5 - steps / (around + 1e-3)) / 0.25).clamp(0, 1).mean(1)
