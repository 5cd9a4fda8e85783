"""The key: the frequencies of the code and of the pilot, and the pattern of an ID.

The pattern is a tile of 256 x 256 cells, as wide and as high as the short side of the picture, and repeated along the
long side; a frequency (u, v) is in cycles per tile. 4,096 frequencies of a ring carry the code, two signs each (real
and imaginary part), shuffled and signed by the key, so that crops, blur and compression affect the four words alike.
Further frequencies of the ring carry the pilot, by which `registration` finds the tile in a picture that was cropped,
turned, scaled, stretched, or put into another.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from train.marks.keyed import permutation, random_bits, signs
from train.marks.watermark.code import CHIPS, WORDS, encode

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

TILE = 256
"""Cells along a side of the tile."""

KEY = b"swapset watermark 2"
MIN_FREQUENCY = 12
"""Cycles per tile: below, a picture has more power than any invisible mark."""

MIN_AXIS_FREQUENCY = 4
"""Frequencies with |u| or |v| below this are unused: they have the power of the discontinuity at the borders."""

PILOTS = 16
PILOT_RING = (18, 42)
PILOT_SPACING = 4
PILOT_SHARE = 0.3
"""Share of the pilot in the energy of the pattern."""

TILT = 0.5
"""The amplitude of a carrier is proportional to its frequency to the power of -TILT."""


@dataclass(frozen=True)
class Carriers:
    """The frequencies that carry the mark.

    Attributes:
        index: int64 (4096,), frequencies of the code, as indices into a flattened rfft2 of the tile, (256, 129).
        order: int64 (8192,); soft value k of the code is entry order[k] of the real, imaginary, real, ... parts.
        signs: float32 (8192,), -1 or 1, by which the signs of the code are multiplied.
        amplitudes: float32 (4096,), of the frequencies of the code, of mean square 1.
        pilot: int64 (PILOTS, 2), frequencies (u, v) of the pilot, u > 0.
        pilot_index: int64 (PILOTS,), the same as indices into the flattened rfft2.
        phases: float64 (PILOTS,), the phases of the pilot at the centre of the first cell, radians.
    """

    index: Integers
    order: Integers
    signs: Floats
    amplitudes: Floats
    pilot: Integers
    pilot_index: Integers
    phases: npt.NDArray[np.float64]

    def pattern(self, mark_id: int) -> Floats:
        """The tile of an ID: float32 (256, 256), zero mean, RMS 1."""
        parts = np.empty(WORDS * CHIPS, np.float32)
        parts[self.order] = encode(mark_id).ravel() * self.signs
        spectrum = np.zeros(TILE * (TILE // 2 + 1), np.complex64)
        spectrum[self.index] = parts.view(np.complex64) * self.amplitudes
        amplitude = math.sqrt(PILOT_SHARE / (1 - PILOT_SHARE) * 2 * len(self.index) / len(self.pilot_index))
        spectrum[self.pilot_index] = amplitude * np.exp(1j * self.phases)
        pattern = np.fft.irfft2(spectrum.reshape(TILE, -1), s=(TILE, TILE))
        return np.asarray(pattern / np.sqrt(np.square(pattern).mean()), np.float32)

    @property
    def corner_phases(self) -> npt.NDArray[np.float64]:
        """The phases of the pilot at the corner of the tile, half a cell before the centre of the first cell."""
        return np.asarray(self.phases - math.pi * self.pilot.sum(1) / TILE, np.float64)

    def pilot_agreement(self, tile: Floats) -> float:
        """How much of the pilot is in a tile, float32 (256, 256): the mean of its coefficients at the pilot's phases.

        Coefficients are means over the cells. About 0 without a pilot.
        """
        across, down = _pilot_waves()
        return float(((down @ tile) * across).sum(1).real.mean()) / TILE**2

    def soft(self, spectrum: npt.NDArray[np.complex64]) -> Floats:
        """Soft values of the code, float32 (4, 2048), from the spectrum of a tile, complex64 (256, 129)."""
        parts = spectrum.ravel()[self.index].view(np.float32)
        return np.asarray((parts[self.order] * self.signs).reshape(WORDS, CHIPS), np.float32)


@lru_cache(maxsize=1)
def carriers() -> Carriers:
    """The carriers of the key."""
    rows, columns = np.indices((TILE, TILE // 2 + 1)).reshape(2, -1)
    u, v = columns, (rows + TILE // 2) % TILE - TILE // 2
    # Integers throughout: the key must not depend on the rounding of a square root.
    square = u * u + v * v
    free = (u >= MIN_AXIS_FREQUENCY) & (abs(v) >= MIN_AXIS_FREQUENCY) & (square >= MIN_FREQUENCY**2)

    # The pilot: random frequencies of its ring, at least PILOT_SPACING apart.
    ring = np.flatnonzero(free & (square >= PILOT_RING[0] ** 2) & (square <= PILOT_RING[1] ** 2))
    pilot: list[int] = []
    for candidate in ring[permutation(KEY, "pilot", len(ring))]:
        distances = (u[pilot] - u[candidate]) ** 2 + (v[pilot] - v[candidate]) ** 2
        if not (distances < PILOT_SPACING**2).any():
            pilot.append(int(candidate))
        if len(pilot) == PILOTS:
            break
    free[pilot] = False

    index = np.flatnonzero(free)
    index = np.sort(index[np.argsort(square[index], kind="stable")[: WORDS * CHIPS // 2]])
    amplitudes = np.sqrt(square[index]) ** -TILT
    return Carriers(
        index=index,
        order=permutation(KEY, "order", WORDS * CHIPS),
        signs=signs(KEY, "signs", WORDS * CHIPS),
        amplitudes=(amplitudes / np.sqrt(np.square(amplitudes).mean())).astype(np.float32),
        pilot=np.stack([u[pilot], v[pilot]], 1),
        pilot_index=np.array(pilot),
        phases=random_bits(KEY, "phases", PILOTS) / 2**32 * 2 * math.pi,
    )


@lru_cache(maxsize=1)
def _pilot_waves() -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.complex64]]:
    """The pilot's conjugate waves along x, with its phases, and along y: complex64 (PILOTS, 256) each."""
    pilot, cells = carriers().pilot, np.arange(TILE)
    across, down = (np.exp(-2j * math.pi * pilot[:, axis : axis + 1] * cells / TILE) for axis in (0, 1))
    phases = np.exp(-1j * carriers().phases)[:, None]
    return (across * phases).astype(np.complex64), down.astype(np.complex64)
