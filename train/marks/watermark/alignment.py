"""Alignment: from the linear part of a placement to the placement, by the phases of the pilot.

An inverse Fourier transform of the phases gives the offset; in 4 x 4 blocks of the picture they give a correction of
the linear part.
"""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from train.marks.watermark.carriers import carriers
from train.marks.watermark.grid import Floats
from train.marks.watermark.placement import Matrix

_BLOCKS = 4
_OFFSETS = 128
_ITERATIONS = 8


def align(grid: Floats, linear: Matrix) -> tuple[float, Matrix]:
    """The offset and the correction of a linear part at which the phases of the pilot agree best.

    Returns the agreement, and the placement on the grid, float64 (2, 3).
    """
    pilot = carriers().pilot.astype(float)
    coefficients, centres = _blocks(grid, pilot @ linear)  # (P, B), (B, 2)
    reference = np.exp(-1j * carriers().corner_phases)[:, None]
    # As it is, and by half a turn: its frequencies are the negative ones.
    turns = [(1, coefficients * reference), (-1, coefficients.conj() * reference)]
    offsets = [_best_offset(pilot, values.sum(1)) for _, values in turns]
    best = 0 if offsets[0][0] >= offsets[1][0] else 1
    sign, values = turns[best]
    return _refine(pilot, values, centres, np.column_stack([sign * linear, offsets[best][1]]))


def _blocks(grid: Floats, frequencies: Matrix) -> tuple[npt.NDArray[np.complex128], Matrix]:
    """Fourier coefficients at frequencies (P, 2), cycles per cell, of each of 4 x 4 blocks; and the blocks' centres.

    Complex (P, 16), phases relative to the corner of the grid; float64 (16, 2), in cells.
    """
    rows, columns = grid.shape
    x, y = np.arange(columns) + 0.5, np.arange(rows) + 0.5
    across = np.exp(-2j * math.pi * frequencies[:, :1] * x).astype(np.complex64)
    down = np.exp(-2j * math.pi * frequencies[:, 1:] * y).astype(np.complex64)
    row_edges = np.linspace(0, rows, _BLOCKS + 1).astype(int)
    column_edges = np.linspace(0, columns, _BLOCKS + 1).astype(int)
    coefficients, centres = [], []
    for top, bottom in pairwise(row_edges.tolist()):
        strip = down[:, top:bottom].real @ grid[top:bottom] + 1j * (down[:, top:bottom].imag @ grid[top:bottom])
        product = strip * across
        for left, right in pairwise(column_edges.tolist()):
            coefficients.append(product[:, left:right].sum(1))
            centres.append(((left + right) / 2, (top + bottom) / 2))
    return np.stack(coefficients, 1).astype(np.complex128), np.array(centres)


def _best_offset(pilot: Matrix, total: npt.NDArray[np.complex128]) -> tuple[float, Matrix]:
    """The offset in tiles, of a grid of 128 x 128, at which coefficients (P,) agree best with the phases of the pilot.

    Returns the agreement, and the offset (x, y).
    """
    magnitude = np.abs(total)
    # A strong frequency is more likely a pattern of the picture than a strong pilot.
    total = total * np.minimum(1, 1.5 * np.median(magnitude) / np.maximum(magnitude, 1e-9))
    steps = np.arange(_OFFSETS) / _OFFSETS
    across = np.exp(-2j * math.pi * pilot[:, :1] * steps).astype(np.complex64)
    down = np.exp(-2j * math.pi * pilot[:, 1:] * steps).astype(np.complex64)
    agreement = ((down * total[:, None].astype(np.complex64)).T @ across).real
    row, column = divmod(int(agreement.argmax()), _OFFSETS)
    return float(agreement[row, column]), np.array([column, row]) / _OFFSETS


def _refine(pilot: Matrix, values: npt.NDArray[np.complex128], centres: Matrix, matrix: Matrix) -> tuple[float, Matrix]:
    """Correct a placement by Gauss-Newton steps on the phases of the pilot in the blocks.

    values: (P, B), their phases should be 2 pi f . (offset + correction x) with x the centre of the block.
    """
    limit = 1.5 * np.median(np.abs(values))
    values = values * np.minimum(1, limit / np.maximum(np.abs(values), 1e-9))
    middle = centres.mean(0)
    # Parameters: the offset at the middle of the grid, and the four of the linear correction, in tiles per grid.
    spread = np.maximum(np.ptp(centres, axis=0), 1e-9)
    position = (centres - middle) / spread  # (B, 2)
    basis = np.concatenate([np.ones((len(centres), 1)), position], 1)  # (B, 3)
    design = 2 * math.pi * np.einsum("pi,bj->pbij", pilot, basis).reshape(-1, 6)
    flat = values.ravel()
    state = np.zeros((2, 3))
    state[:, 0] = matrix[:, 2]
    for _ in range(_ITERATIONS):
        rotated = flat * np.exp(-1j * (design @ state.ravel()))
        weights = np.maximum(rotated.real, 0)
        normal = (design * weights[:, None]).T @ design
        normal += np.eye(6) * (1e-3 * np.trace(normal) / 6 + 1e-9)
        state += np.linalg.solve(normal, design.T @ rotated.imag).clip(-0.02, 0.02).reshape(2, 3)
    agreement = float((flat * np.exp(-1j * (design @ state.ravel()))).real.sum() / np.abs(flat).sum().clip(1e-9))
    correction = state[:, 1:] / spread
    refined = matrix[:, :2] + correction
    return agreement, np.column_stack([refined, state[:, 0] - correction @ middle])
