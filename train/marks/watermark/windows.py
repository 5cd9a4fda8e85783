"""Search in windows: finds the tile of a marked picture that fills only a part of another, as in collages.

In the spectrum of the whole, the pilot of a small part is lost in the power of the rest. So overlapping windows are
searched as `registration` searches the whole, for tiles of about their size or less.
"""

import math
from functools import lru_cache

import numpy as np

from train.marks.watermark.alignment import align
from train.marks.watermark.grid import Floats
from train.marks.watermark.hypotheses import (
    Hypotheses,
    clipped_power,
    distinct,
    energies,
    entries_of,
    refined,
    turned,
    with_mirrored,
)
from train.marks.watermark.placement import Matrix, Placement
from train.marks.watermark.search_grid import MIN_TILE, SearchGrid, Window

SIDE = 160
"""Cells. Half the side of a square search grid; windows overlap by half."""

MAX_TILE = 200.0
"""Cells. Larger tiles fill so much of the picture that `registration` finds them."""

COARSE_CANDIDATES = 64
"""Hypotheses, of all windows, that are refined by half a step."""

LINEAR_CANDIDATES = 8
"""Hypotheses whose phases are looked at."""

CANDIDATES = 5
"""Placements that are returned."""

_CANVAS = 2 * SIDE


def find_in_windows(grid: SearchGrid) -> list[tuple[Window, Placement]]:
    """The likeliest placements, at most CANDIDATES, each with its window, the best first."""
    windows = windows_of(*grid.detail.shape)
    aligned = []
    for number, linear in _best_linear(grid.detail, windows):
        window = windows[number]
        agreement, matrix = align(window.of(grid.detail), linear)
        aligned.append((agreement, window, grid.to_pixels(window.whole(matrix))))
    aligned.sort(key=lambda each: -each[0])
    return [(window, placement) for _, window, placement in aligned[:CANDIDATES]]


def windows_of(rows: int, columns: int) -> list[Window]:
    """The windows of a grid of this size: they cover it, and neighbours overlap by at least half."""
    return [Window(top, left, SIDE) for top in _starts(rows) for left in _starts(columns)]


def _starts(length: int) -> list[int]:
    last = max(0, length - SIDE)
    steps = math.ceil(last / (SIDE // 2))
    return [round(last * k / steps) for k in range(steps + 1)] if steps else [0]


@lru_cache(maxsize=1)
def _hypotheses() -> Hypotheses:
    return with_mirrored(turned(MIN_TILE, MAX_TILE, SIDE), _CANVAS)


def _best_linear(detail: Floats, windows: list[Window]) -> list[tuple[int, Matrix]]:
    """Numbers of windows and linear parts with most energy at the pilot; of neighbours in a window only the best."""
    hypotheses = _hypotheses()
    power = np.stack([clipped_power(window.of(detail), _CANVAS) for window in windows], 1)  # (F, W)
    coarse = energies(power, hypotheses.entries).ravel()
    entries, numbers = np.divmod(np.argpartition(-coarse, COARSE_CANDIDATES)[:COARSE_CANDIDATES], len(windows))
    best = refined(hypotheses.linear[entries])
    numbers = np.repeat(numbers, best.shape[1])
    best = best.reshape(-1, 2, 2)
    energy = power[entries_of(best, _CANVAS), numbers].sum(0)
    chosen: list[tuple[int, Matrix]] = []
    inverses: dict[int, list[Matrix]] = {}
    for index in np.argsort(-energy, kind="stable").tolist():
        number, linear = int(numbers[index]), best[index]
        if distinct(linear, inverses.setdefault(number, [])):
            chosen.append((number, linear))
            inverses[number].append(np.linalg.inv(linear))
        if len(chosen) == LINEAR_CANDIDATES:
            break
    return chosen
