"""Registration: finds the tile of the pattern in pictures that are cropped, turned, scaled, stretched or framed.

A linear change of a picture changes the frequencies of the pilot by the inverse transpose, and moves none of their
energy elsewhere. So the power at the places where a hypothesis expects the pilot is summed for each hypothesis
(`_hypotheses`), with no regard to phases. For the best, the phases of the pilot give the offset by an inverse Fourier
transform, and, in 4 x 4 blocks of the picture, a linear correction.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from train.marks.watermark.carriers import TILE, carriers
from train.marks.watermark.grid import Floats, fold
from train.marks.watermark.placement import Matrix, Placement
from train.marks.watermark.spectrum import transform, whitened_power

CELLS = 320
"""The picture is searched on a grid of about CELLS x CELLS cells, as many for every shape."""

CANVAS = 640
"""Side of the zero-padded grid. Longer pictures, of more than 4 : 1, are searched with fewer cells."""

MIN_TILE, MAX_TILE = 90.0, 700.0
"""Side of the tile, in cells of the search grid. The smallest has the pilot just below the Nyquist frequency."""

MAX_STRETCH = 2.0
"""Largest ratio of the scales along the axes, of pictures that are not turned by other angles than right ones."""

STEP = 0.012
"""Relative step of scales, and of angles in radians: half a cycle per tile at the highest frequency of the pilot."""

MAX_POWER = 9.0
"""Largest power of one frequency, in mean powers: regular patterns of a picture must not be taken for the pilot."""

COARSE_CANDIDATES = 256
"""Hypotheses that are refined by half a step."""

LINEAR_CANDIDATES = 16
"""Hypotheses whose phases are looked at."""

CANDIDATES = 8
"""Placements that are returned."""

_MAX_CELLS = 1280
_BLOCKS = 4
_OFFSETS = 128
_ITERATIONS = 8


@dataclass(frozen=True)
class SearchGrid:
    """Detail of a picture on the search grid, float32 of `search_size`; height, width: of the picture, pixels."""

    detail: Floats
    height: int
    width: int

    def from_pixels(self, placement: Placement) -> Matrix:
        """The matrix of a placement in the picture, for positions on the grid."""
        rows, columns = self.detail.shape
        return np.asarray(placement.matrix * [self.width / columns, self.height / rows, 1], np.float64)

    def to_pixels(self, matrix: Matrix) -> Placement:
        """The placement in the picture, of a matrix for positions on the grid."""
        rows, columns = self.detail.shape
        return Placement(matrix * np.array([columns / self.width, rows / self.height, 1]))


def search_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the search grid of a picture of this size."""
    scale = min(CELLS / math.sqrt(height * width), CANVAS / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def find_placements(grid: SearchGrid) -> list[Placement]:
    """The likeliest placements, at most CANDIDATES, the best first."""
    aligned = [_align(grid.detail, linear) for linear in _best_linear(grid.detail)]
    aligned.sort(key=lambda each: -each[0])
    return [grid.to_pixels(matrix) for _, matrix in aligned[:CANDIDATES]]


def restore(grid: SearchGrid, placement: Placement) -> Floats:
    """The detail of a picture, laid on the tile and summed over its repetitions: float32 (256, 256)."""
    matrix = grid.from_pixels(placement) * TILE  # to cells of the pattern
    rows, columns = grid.detail.shape
    corners = matrix @ np.array([[0, columns, 0, columns], [0, 0, rows, rows], [1, 1, 1, 1]])
    first = np.floor(corners.min(1)).astype(int)
    size = np.minimum(np.ceil(corners.max(1)).astype(int) - first, _MAX_CELLS)
    # OpenCV's positions are those of centres of cells.
    linear = np.linalg.inv(matrix[:, :2])
    warp = np.column_stack([linear, linear @ (first + 0.5 - matrix[:, 2]) - 0.5])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    tiles = cv2.warpAffine(grid.detail, warp, (int(size[0]), int(size[1])), flags=flags)
    return np.roll(fold(np.asarray(tiles, np.float32)), first[::-1], (0, 1))


def lay_pattern(grid: SearchGrid, placement: Placement, pattern: Floats) -> Floats:
    """The pattern, a tile float32 (256, 256), as it lies on the search grid: float32 of the grid's size."""
    rows, columns = grid.detail.shape
    (a, b, x), (c, d, y) = grid.from_pixels(placement) * TILE
    across, down = np.arange(columns) + 0.5, (np.arange(rows) + 0.5)[:, None]
    map_x = (a * across + b * down + x - 0.5) % TILE
    map_y = (c * across + d * down + y - 0.5) % TILE
    # One cell more, so that what lies between the last cell and the first is interpolated.
    wrapped = cv2.copyMakeBorder(pattern, 0, 1, 0, 1, cv2.BORDER_WRAP)
    laid = cv2.remap(wrapped, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(laid, np.float32)


@dataclass(frozen=True)
class _Hypotheses:
    """Linear parts of placements, and where the pilot is expected for each.

    linear: float64 (K, 2, 2), cells of the search grid to tiles. entries: int32 (PILOTS, K), indices into the flattened
    rfft2 of the canvas.
    """

    linear: Matrix
    entries: npt.NDArray[np.int32]


@lru_cache(maxsize=1)
def _hypotheses() -> _Hypotheses:
    """Every combination of scale, angle or stretch, and mirroring that is searched."""
    linear = np.concatenate([_turned(), _stretched()])
    linear = np.concatenate([linear, np.diag([-1.0, 1.0]) @ linear])
    return _Hypotheses(linear, _entries(linear))


def _entries(linear: Matrix) -> npt.NDArray[np.int32]:
    """Where the pilot is expected for linear parts (K, 2, 2): indices into the flattened rfft2 of the canvas (P, K)."""
    # The phase 2 pi f . (A x) has the frequency A^T f, in cycles per cell; here in cycles per canvas.
    pilot = carriers().pilot
    (a, b), (c, d) = (linear * CANVAS).astype(np.float32).transpose(1, 2, 0)
    entries = np.empty((len(pilot), len(linear)), np.int32)
    for row, (u, v) in zip(entries, pilot.tolist(), strict=True):
        across, down = np.rint(u * a + v * c).astype(np.int32), np.rint(u * b + v * d).astype(np.int32)
        down = np.where(across < 0, -down, down)  # the spectrum of real values is symmetric
        np.minimum(np.abs(across, out=across), CANVAS // 2, out=across)
        row[:] = down % CANVAS * (CANVAS // 2 + 1) + across
    return entries


def _turned() -> Matrix:
    """Turned by any angle; half a turn does not change the power."""
    parts, side = [], MIN_TILE
    while side <= MAX_TILE:
        # In a picture that has only a part of the tile, frequencies are resolved less finely.
        step = STEP * max(1, side / CELLS)
        parts.append(_turn(np.arange(0, math.pi, step)) / side)
        side *= 1 + step
    return np.concatenate(parts)


def _stretched() -> Matrix:
    """Turned by a right angle or not, and stretched."""
    parts, side = [], MIN_TILE
    while side <= MAX_TILE:
        step = STEP * max(1, side / CELLS)
        stretches = np.exp(np.arange(-math.log(MAX_STRETCH), math.log(MAX_STRETCH) + step, 2 * step))
        axes = np.zeros((len(stretches), 2, 2))
        axes[:, 0, 0], axes[:, 1, 1] = np.sqrt(stretches) / side, 1 / np.sqrt(stretches) / side
        parts += [axes, _turn(np.array(math.pi / 2)) @ axes]
        side *= 1 + step
    return np.concatenate(parts)


def _turn(angles: Matrix) -> Matrix:
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)


def _best_linear(grid: Floats) -> list[Matrix]:
    """The linear parts with most energy at the pilot, refined; of neighbours only the best."""
    power = np.minimum(whitened_power(transform(grid, CANVAS)), MAX_POWER).ravel()
    hypotheses = _hypotheses()
    energies = _energies(power, hypotheses.entries)
    best = hypotheses.linear[np.argpartition(-energies, COARSE_CANDIDATES)[:COARSE_CANDIDATES]]
    best = (best[:, None] @ _perturbations()).reshape(-1, 2, 2)
    energies = _energies(power, _entries(best))
    chosen: list[Matrix] = []
    inverses: list[Matrix] = []
    for linear in best[np.argsort(-energies, kind="stable")]:
        if not inverses or (np.abs(np.stack(inverses) @ linear - np.eye(2)).max((1, 2)) > 1.5 * STEP).all():
            chosen.append(linear)
            inverses.append(np.linalg.inv(linear))
        if len(chosen) == LINEAR_CANDIDATES:
            break
    return chosen


def _energies(power: Floats, entries: npt.NDArray[np.int32]) -> Floats:
    """The sum of the power of the pilot for each column of entries (P, K): float32 (K,)."""
    total = np.zeros(entries.shape[1], np.float32)
    for row in entries:
        total += power[row]
    return total


@lru_cache(maxsize=1)
def _perturbations() -> Matrix:
    """Small changes of scale, angle and stretch, by half a step: float64 (27, 2, 2)."""
    half = np.array([0, -0.5, 0.5]) * STEP
    scales = np.exp(half)[:, None, None] * np.eye(2)
    stretches = np.stack([np.diag([math.exp(each / 2), math.exp(-each / 2)]) for each in half])
    changes = scales[:, None, None] @ _turn(half)[None, :, None] @ stretches[None, None]
    return np.asarray(changes.reshape(-1, 2, 2), np.float64)


def _align(grid: Floats, linear: Matrix) -> tuple[float, Matrix]:
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
