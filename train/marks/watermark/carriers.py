"""The key: the frequencies of the code and of the pilot, and the pattern of an ID.

The canonical grid has 256 x 256 cells that span the whole picture, whatever its size and shape; a frequency (u, v)
is in cycles per picture width and height. 4,096 frequencies of a ring carry the code, two signs each (real and
imaginary part), shuffled and signed by the key, so that crops, blur and compression affect the four words alike.
48 frequencies inside the ring carry the pilot, which `registration` uses to find crops.

The random numbers are hashes computed here, because the key must be the same in every version of every library.
"""

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import torch

from train.marks.watermark.code import CHIPS, WORDS, encode

GRID = 256
KEY = b"swapset watermark 1"
MIN_FREQUENCY = 14
"""Cycles per picture: below, a picture has more power than any invisible mark."""

MIN_AXIS_FREQUENCY = 4
"""Frequencies with |u| or |v| below this are unused: they have the power of the discontinuity at the borders."""

PILOTS = 48
PILOT_RING = (20, 44)
PILOT_SPACING = 4
PILOT_SHARE = 0.3
"""Share of the pilot in the energy of the pattern."""


@dataclass(frozen=True)
class Carriers:
    """The frequencies that carry the mark. All tensors are on one device.

    Attributes:
        index: int64 (4096,), frequencies of the code, as indices into a flattened rfft2 of the grid, (256, 129).
        order: int64 (8192,); soft value k of the code is entry order[k] of the real, imaginary, real, ... parts.
        signs: float32 (8192,), -1 or 1, by which the signs of the code are multiplied.
        pilot: float32 (48, 2), frequencies (u, v) of the pilot, u > 0.
        pilot_index: int64 (48,), the same as indices into the flattened rfft2.
        phases: complex64 (48,), of norm 1, the phases of the pilot.
    """

    index: torch.Tensor
    order: torch.Tensor
    signs: torch.Tensor
    pilot: torch.Tensor
    pilot_index: torch.Tensor
    phases: torch.Tensor

    def pattern(self, mark_id: int) -> torch.Tensor:
        """The pattern of an ID on the grid: float32 (256, 256), zero mean, RMS 1."""
        device = self.signs.device
        parts = torch.empty(WORDS * CHIPS, device=device)
        parts[self.order] = encode(mark_id).to(device).flatten() * self.signs
        spectrum = torch.zeros(GRID * (GRID // 2 + 1), dtype=torch.complex64, device=device)
        spectrum[self.index] = torch.view_as_complex(parts.view(-1, 2))
        amplitude = math.sqrt(PILOT_SHARE / (1 - PILOT_SHARE) * 2 * len(self.index) / len(self.pilot_index))
        spectrum[self.pilot_index] = amplitude * self.phases
        pattern: torch.Tensor = torch.fft.irfft2(spectrum.view(GRID, -1), s=(GRID, GRID))
        pattern /= pattern.square().mean().sqrt()
        return pattern

    def soft(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Soft values of the code, float32 (N, 4, 2048), from spectra, complex (N, 256, 129)."""
        parts = torch.view_as_real(spectrum.flatten(1)[:, self.index]).flatten(1)
        return (parts[:, self.order] * self.signs).view(-1, WORDS, CHIPS)


@lru_cache(maxsize=4)
def carriers_on(device: torch.device) -> Carriers:
    """The carriers of the key, on `device`."""
    carriers = _carriers()
    return Carriers(**{field.name: getattr(carriers, field.name).to(device) for field in fields(Carriers)})


@lru_cache(maxsize=1)
def _carriers() -> Carriers:
    rows, columns = np.indices((GRID, GRID // 2 + 1)).reshape(2, -1)
    u, v = columns, (rows + GRID // 2) % GRID - GRID // 2
    # Integers throughout: the key must not depend on the rounding of a square root.
    square = u * u + v * v
    free = (u >= MIN_AXIS_FREQUENCY) & (abs(v) >= MIN_AXIS_FREQUENCY) & (square >= MIN_FREQUENCY**2)

    # The pilot: random frequencies of its ring, at least PILOT_SPACING apart.
    ring = np.flatnonzero(free & (square >= PILOT_RING[0] ** 2) & (square <= PILOT_RING[1] ** 2))
    pilot: list[int] = []
    for candidate in ring[_permutation("pilot", len(ring))]:
        distances = (u[pilot] - u[candidate]) ** 2 + (v[pilot] - v[candidate]) ** 2
        if not (distances < PILOT_SPACING**2).any():
            pilot.append(int(candidate))
        if len(pilot) == PILOTS:
            break
    free[pilot] = False

    index = np.flatnonzero(free)
    index = np.sort(index[np.argsort(square[index], kind="stable")[: WORDS * CHIPS // 2]])
    signs = 1.0 - 2.0 * (_random_bits("signs", WORDS * CHIPS) & 1)
    angles = _random_bits("phases", PILOTS) / 2**32 * 2 * math.pi
    return Carriers(
        index=torch.from_numpy(index),
        order=torch.from_numpy(_permutation("order", WORDS * CHIPS)),
        signs=torch.from_numpy(signs).float(),
        pilot=torch.from_numpy(np.stack([u[pilot], v[pilot]], 1)).float(),
        pilot_index=torch.tensor(pilot),
        phases=torch.from_numpy(np.exp(1j * angles)).to(torch.complex64),
    )


def _random_bits(purpose: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """`count` unsigned 32-bit integers, derived from the key by hashing a counter."""
    blocks = (blake2b(f"{purpose} {k}".encode(), key=KEY).digest() for k in range(-(-count // 16)))
    return np.frombuffer(b"".join(blocks), "<u4")[:count].astype(np.int64)


def _permutation(purpose: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A permutation of 0..count-1, derived from the key."""
    return np.argsort(_random_bits(purpose, count), kind="stable")
