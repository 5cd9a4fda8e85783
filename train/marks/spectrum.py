"""A spectrum whose rings all have the same power, so that no frequency of a picture drowns the others."""

from functools import lru_cache

import torch

RINGS = 40


def whitened(spectrum: torch.Tensor) -> torch.Tensor:
    """rfft2 of square grids, complex (N, S, S // 2 + 1) -> the same with mean power 1 in each ring of 4 cycles."""
    rings, sizes = _rings(spectrum.shape[1], str(spectrum.device))
    power = spectrum.abs().square().flatten(1)
    mean = power.new_zeros(len(spectrum), RINGS + 1).index_add_(1, rings, power) / sizes
    return spectrum * (mean + 1e-9).rsqrt()[:, rings].view(spectrum.shape)


@lru_cache(maxsize=8)
def _rings(size: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The ring of each place in a flattened rfft2, and how many places each ring has."""
    # A grid padded to twice its size counts cycles per twice the picture.
    cycles = 256 / size
    down = torch.fft.fftfreq(size, 1 / size)[:, None] * cycles
    across = torch.arange(size // 2 + 1) * cycles
    rings = (torch.hypot(down, across) / 4).long().clamp_max(RINGS).flatten()
    return rings.to(device), torch.bincount(rings, minlength=RINGS + 1).clamp_min(1).float().to(device)
