"""The key: which frequencies carry which sign of the code, which carry the pilot, and the pattern of an ID.

The canonical grid has 256 x 256 cells that span the whole picture, whatever its size and shape; a frequency (u, v)
counts cycles per picture width and height. 4,096 frequencies of a ring carry the code, two signs each (real and
imaginary part), shuffled and signed by the key, so that crops, blur and compression hurt the four words alike.
48 frequencies inside the ring carry the pilot, by whose place a reader finds what was cropped.

The numbers are drawn by a generator written out here: the key must be the same in every version of every library.
"""

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import torch

from train.marks.code import CHIPS, WORDS, encode

GRID = 256
KEY = b"swapset watermark 1"
INNER = 14
"""Smallest frequency of the code, cycles per picture: below, a picture is stronger than any mark may be."""

AXIS = 4
"""Frequencies with |u| or |v| below this are left out: the jump between opposite borders of a picture lies there."""

PILOTS = 48
PILOT_RING = (20, 44)
PILOT_SPACING = 4
PILOT_SHARE = 0.3
"""Of the pattern's energy."""


@dataclass(frozen=True)
class Carriers:
    """`index` (4096,), `pilot_index` (48,): places in a flattened rfft2 of the grid, (256, 129).

    `order` (8192,): soft value k of the code is number order[k] of real, imaginary, real, ... parts; `signs` (8192,).
    `pilot` (48, 2): cycles (u, v), u > 0; `phases` (48,) complex of norm 1.
    """

    index: torch.Tensor
    order: torch.Tensor
    signs: torch.Tensor
    pilot: torch.Tensor
    pilot_index: torch.Tensor
    phases: torch.Tensor

    def pattern(self, mark_id: int) -> torch.Tensor:
        """The mark of an ID on the grid, float32 (256, 256), zero mean, RMS 1."""
        device = self.signs.device
        parts = torch.empty(WORDS * CHIPS, device=device)
        parts[self.order] = encode(mark_id).to(device).flatten() * self.signs
        spectrum = torch.zeros(GRID * (GRID // 2 + 1), dtype=torch.complex64, device=device)
        spectrum[self.index] = torch.view_as_complex(parts.view(-1, 2))
        loudness = math.sqrt(PILOT_SHARE / (1 - PILOT_SHARE) * 2 * len(self.index) / len(self.pilot_index))
        spectrum[self.pilot_index] = loudness * self.phases
        pattern: torch.Tensor = torch.fft.irfft2(spectrum.view(GRID, -1), s=(GRID, GRID))
        pattern /= pattern.square().mean().sqrt()
        return pattern

    def soft(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Spectra, complex (N, 256, 129) -> soft values of the code, float32 (N, 4, 2048)."""
        parts = torch.view_as_real(spectrum.flatten(1)[:, self.index]).flatten(1)
        return (parts[:, self.order] * self.signs).view(-1, WORDS, CHIPS)


@lru_cache(maxsize=4)
def carriers_on(device: torch.device) -> Carriers:
    """The carriers of this version's key, on `device`."""
    made = _carriers()
    return Carriers(**{field.name: getattr(made, field.name).to(device) for field in fields(Carriers)})


@lru_cache(maxsize=1)
def _carriers() -> Carriers:
    rows, columns = np.indices((GRID, GRID // 2 + 1)).reshape(2, -1)
    u, v = columns, (rows + GRID // 2) % GRID - GRID // 2
    # Whole numbers throughout: a last bit of a square root must not decide what belongs to the key.
    square = u * u + v * v
    free = (u >= AXIS) & (abs(v) >= AXIS) & (square >= INNER**2)

    # The pilot: at random in its ring, no two close together, and nothing of the code beside them.
    ring = np.flatnonzero(free & (square >= PILOT_RING[0] ** 2) & (square <= PILOT_RING[1] ** 2))
    pilot: list[int] = []
    for place in ring[_shuffled("pilot", len(ring))]:
        near = (u[pilot] - u[place]) ** 2 + (v[pilot] - v[place]) ** 2
        if not (near < PILOT_SPACING**2).any():
            pilot.append(int(place))
        if len(pilot) == PILOTS:
            break
    free[pilot] = False

    index = np.flatnonzero(free)
    index = np.sort(index[np.argsort(square[index], kind="stable")[: WORDS * CHIPS // 2]])
    signs = 1.0 - 2.0 * (_numbers("signs", WORDS * CHIPS) & 1)
    angles = _numbers("phases", PILOTS) / 2**32 * 2 * math.pi
    return Carriers(
        index=torch.from_numpy(index),
        order=torch.from_numpy(_shuffled("order", WORDS * CHIPS)),
        signs=torch.from_numpy(signs).float(),
        pilot=torch.from_numpy(np.stack([u[pilot], v[pilot]], 1)).float(),
        pilot_index=torch.tensor(pilot),
        phases=torch.from_numpy(np.exp(1j * angles)).to(torch.complex64),
    )


def _numbers(purpose: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """`count` numbers of 32 bits from the key, by hashing a counter."""
    blocks = (blake2b(f"{purpose} {k}".encode(), key=KEY).digest() for k in range(-(-count // 16)))
    return np.frombuffer(b"".join(blocks), "<u4")[:count].astype(np.int64)


def _shuffled(purpose: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A permutation of 0..count-1 from the key."""
    return np.argsort(_numbers(purpose, count), kind="stable")
