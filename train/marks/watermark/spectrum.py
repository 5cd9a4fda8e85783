"""Whitening of spectra, so that no band of a picture dominates the others."""

from functools import lru_cache

import torch

from train.marks.watermark.carriers import GRID

RINGS = 40
RING_WIDTH = 4
"""Cycles per picture."""


def whiten(spectrum: torch.Tensor) -> torch.Tensor:
    """Scale rfft2 spectra of square grids, complex (N, S, S // 2 + 1), to a mean power of 1 in each ring."""
    rings, sizes = _rings(spectrum.shape[1], str(spectrum.device))
    power = spectrum.abs().square().flatten(1)
    mean = power.new_zeros(len(spectrum), RINGS + 1).index_add_(1, rings, power) / sizes
    return spectrum * (mean + 1e-9).rsqrt()[:, rings].view(spectrum.shape)


@lru_cache(maxsize=8)
def _rings(size: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The ring of each entry of a flattened rfft2, int64 (S * (S // 2 + 1),), and the number of entries per ring."""
    # The frequencies of a grid padded to twice its size are in cycles per two pictures.
    cycles = GRID / size
    down = torch.fft.fftfreq(size, 1 / size)[:, None] * cycles
    across = torch.arange(size // 2 + 1) * cycles
    rings = (torch.hypot(down, across) / RING_WIDTH).long().clamp_max(RINGS).flatten()
    return rings.to(device), torch.bincount(rings, minlength=RINGS + 1).clamp_min(1).float().to(device)
