"""Whitening of spectra, so that no band of a picture dominates the others."""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from train.marks.watermark.carriers import TILE

RING_WIDTH = 4
"""Cycles per tile."""

NEIGHBOURHOOD = 9
"""Cycles per tile: side of the square in which the power is averaged."""

Spectrum = npt.NDArray[np.complex64]


def transform(grid: npt.NDArray[np.float32], side: int = TILE) -> Spectrum:
    """The rfft2 of a grid, zero-padded to a square of this side: complex64 (side, side // 2 + 1)."""
    return np.fft.rfft2(grid, (side, side)).astype(np.complex64, copy=False)


def whiten(spectrum: Spectrum) -> Spectrum:
    """Scale the rfft2 of a square grid, complex64 (S, S // 2 + 1), to a mean power of 1 everywhere."""
    return spectrum * np.sqrt(1 / _expected_power(spectrum))


def whitened_power(spectrum: Spectrum) -> npt.NDArray[np.float32]:
    """Power of the rfft2 of a square grid, divided by its local mean: float32 (S, S // 2 + 1)."""
    return (_power(spectrum) / _expected_power(spectrum)).astype(np.float32)


def _power(spectrum: Spectrum) -> npt.NDArray[np.float32]:
    return np.square(spectrum.real) + np.square(spectrum.imag)


def _expected_power(spectrum: Spectrum) -> npt.NDArray[np.float32]:
    """The mean power of the ring of each entry, and then of its neighbourhood, which edges of one direction raise."""
    rings, counts = _rings(spectrum.shape[0])
    power = _power(spectrum)
    rings_power = ((np.bincount(rings.ravel(), power.ravel()) + 1e-9) / counts).astype(np.float32)[rings]
    relative = power / rings_power
    window = NEIGHBOURHOOD * spectrum.shape[0] // TILE // 2 * 2 + 1
    reach = window // 2
    # The spectrum is periodic down, and that of real values is symmetric across.
    wrapped = cv2.copyMakeBorder(relative, reach, reach, 0, 0, cv2.BORDER_WRAP)
    local = cv2.blur(wrapped, (window, window), borderType=cv2.BORDER_REFLECT_101)[reach:-reach]
    return (rings_power * local + 1e-9).astype(np.float32)


@lru_cache(maxsize=4)
def _rings(size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The ring of each entry of an rfft2, int64 (S, S // 2 + 1), and the number of entries per ring."""
    down = np.fft.fftfreq(size, 1 / size)[:, None]
    across = np.arange(size // 2 + 1)
    rings = (np.hypot(down, across) * TILE / size / RING_WIDTH).astype(np.int64)
    return rings, np.maximum(np.bincount(rings.ravel()), 1)
