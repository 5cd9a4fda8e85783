"""Registration: finds the tile of the pattern in pictures that are cropped, turned, scaled, stretched or framed.

For each hypothesis of scale, angle, stretch and mirroring the power at the places of the pilot is summed
(`hypotheses`); for the best, the phases of the pilot give the placement (`alignment`).
"""

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
    stretched,
    turned,
    with_mirrored,
)
from train.marks.watermark.placement import Matrix, Placement
from train.marks.watermark.search_grid import CANVAS, CELLS, MAX_TILE, MIN_TILE, SearchGrid

COARSE_CANDIDATES = 256
"""Hypotheses that are refined by half a step."""

LINEAR_CANDIDATES = 16
"""Hypotheses whose phases are looked at."""

CANDIDATES = 8
"""Placements that are returned."""


def find_placements(grid: SearchGrid) -> list[Placement]:
    """The likeliest placements, at most CANDIDATES, the best first."""
    aligned = [align(grid.detail, linear) for linear in _best_linear(grid.detail)]
    aligned.sort(key=lambda each: -each[0])
    return [grid.to_pixels(matrix) for _, matrix in aligned[:CANDIDATES]]


@lru_cache(maxsize=1)
def _hypotheses() -> Hypotheses:
    """Every combination of scale, angle or stretch, and mirroring that is searched."""
    sides = MIN_TILE, MAX_TILE, CELLS
    return with_mirrored(np.concatenate([turned(*sides), stretched(*sides)]), CANVAS)


def _best_linear(grid: Floats) -> list[Matrix]:
    """The linear parts with most energy at the pilot, refined; of neighbours only the best."""
    power = clipped_power(grid, CANVAS)
    hypotheses = _hypotheses()
    coarse = energies(power, hypotheses.entries)
    best = refined(hypotheses.linear[np.argpartition(-coarse, COARSE_CANDIDATES)[:COARSE_CANDIDATES]])
    best = best.reshape(-1, 2, 2)
    chosen: list[Matrix] = []
    inverses: list[Matrix] = []
    for linear in best[np.argsort(-energies(power, entries_of(best, CANVAS)), kind="stable")]:
        if distinct(linear, inverses):
            chosen.append(linear)
            inverses.append(np.linalg.inv(linear))
        if len(chosen) == LINEAR_CANDIDATES:
            break
    return chosen
