"""Hypotheses of the registration: linear parts of placements, and the energy of the pilot where each expects it.

A linear change of a picture changes the frequencies of the pilot by the inverse transpose, and moves none of their
energy elsewhere. So the power at the places where a hypothesis expects the pilot is summed, with no regard to phases.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from train.marks.watermark.carriers import carriers
from train.marks.watermark.grid import Floats
from train.marks.watermark.placement import Matrix
from train.marks.watermark.spectrum import transform, whitened_power

STEP = 0.012
"""Relative step of scales, and of angles in radians: half a cycle per tile at the highest frequency of the pilot."""

MAX_STRETCH = 2.0
"""Largest ratio of the scales along the axes, of pictures that are not turned by other angles than right ones."""

MAX_POWER = 9.0
"""Largest power of one frequency, in mean powers: regular patterns of a picture must not be taken for the pilot."""


@dataclass(frozen=True)
class Hypotheses:
    """Linear parts of placements, and where the pilot is expected for each.

    linear: float64 (K, 2, 2), cells to tiles. entries: int32 (PILOTS, K), see `entries_of`.
    """

    linear: Matrix
    entries: npt.NDArray[np.int32]


def with_mirrored(linear: Matrix, canvas: int) -> Hypotheses:
    """The hypotheses of these linear parts (K, 2, 2), and of their mirror images, in a spectrum of `canvas` cells."""
    linear = np.concatenate([linear, np.diag([-1.0, 1.0]) @ linear])
    return Hypotheses(linear, entries_of(linear, canvas))


def entries_of(linear: Matrix, canvas: int) -> npt.NDArray[np.int32]:
    """Where the pilot is expected for linear parts (K, 2, 2): indices (PILOTS, K) into the flattened rfft2 of `canvas`.

    canvas: side of the square that is transformed, cells.
    """
    # The phase 2 pi f . (A x) has the frequency A^T f, in cycles per cell; here in cycles per canvas.
    pilot = carriers().pilot
    (a, b), (c, d) = (linear * canvas).astype(np.float32).transpose(1, 2, 0)
    entries = np.empty((len(pilot), len(linear)), np.int32)
    for row, (u, v) in zip(entries, pilot.tolist(), strict=True):
        across, down = np.rint(u * a + v * c).astype(np.int32), np.rint(u * b + v * d).astype(np.int32)
        down = np.where(across < 0, -down, down)  # the spectrum of real values is symmetric
        np.minimum(np.abs(across, out=across), canvas // 2, out=across)
        row[:] = down % canvas * (canvas // 2 + 1) + across
    return entries


def turned(min_tile: float, max_tile: float, cells: int) -> Matrix:
    """Linear parts (K, 2, 2) of tiles of these sides, turned by any angle; half a turn does not change the power.

    cells: side of the searched square. Where it has only a part of the tile, frequencies are resolved less finely.
    """
    parts, side = [], min_tile
    while side <= max_tile:
        step = STEP * max(1, side / cells)
        parts.append(_turn(np.arange(0, math.pi, step)) / side)
        side *= 1 + step
    return np.concatenate(parts)


def stretched(min_tile: float, max_tile: float, cells: int) -> Matrix:
    """Linear parts (K, 2, 2) of stretched tiles, turned by a right angle or not."""
    parts, side = [], min_tile
    while side <= max_tile:
        step = STEP * max(1, side / cells)
        stretches = np.exp(np.arange(-math.log(MAX_STRETCH), math.log(MAX_STRETCH) + step, 2 * step))
        axes = np.zeros((len(stretches), 2, 2))
        axes[:, 0, 0], axes[:, 1, 1] = np.sqrt(stretches) / side, 1 / np.sqrt(stretches) / side
        parts += [axes, _turn(np.array(math.pi / 2)) @ axes]
        side *= 1 + step
    return np.concatenate(parts)


def clipped_power(grid: Floats, canvas: int) -> Floats:
    """Whitened power of a grid, zero-padded to `canvas` cells: float32, flattened, at most MAX_POWER."""
    return np.minimum(whitened_power(transform(grid, canvas)), MAX_POWER).ravel()


def energies(power: Floats, entries: npt.NDArray[np.int32]) -> Floats:
    """The sum of the power of the pilot for each column of entries (PILOTS, K).

    power: (F,), or (F, W) of W spectra. Returns float32 (K,) or (K, W).
    """
    total = np.zeros((entries.shape[1], *power.shape[1:]), np.float32)
    values = np.empty_like(total)
    for row in entries:
        # All entries are valid. With mode "clip", NumPy writes into `values` without a buffer: 5 times as fast.
        np.take(power, row, 0, out=values, mode="clip")
        total += values
    return total


def refined(linear: Matrix) -> Matrix:
    """Each of (K, 2, 2), changed in scale, angle and stretch by half a step or not: (K, 27, 2, 2)."""
    return linear[:, None] @ _perturbations()


def distinct(linear: Matrix, inverses: list[Matrix]) -> bool:
    """Whether a linear part (2, 2) differs by more than 1.5 steps from those with these inverses."""
    return not inverses or bool((np.abs(np.stack(inverses) @ linear - np.eye(2)).max((1, 2)) > 1.5 * STEP).all())


def _turn(angles: Matrix) -> Matrix:
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)


@lru_cache(maxsize=1)
def _perturbations() -> Matrix:
    """Small changes of scale, angle and stretch, by half a step: float64 (27, 2, 2)."""
    half = np.array([0, -0.5, 0.5]) * STEP
    scales = np.exp(half)[:, None, None] * np.eye(2)
    stretches = np.stack([np.diag([math.exp(each / 2), math.exp(-each / 2)]) for each in half])
    changes = scales[:, None, None] @ _turn(half)[None, :, None] @ stretches[None, None]
    return np.asarray(changes.reshape(-1, 2, 2), np.float64)
