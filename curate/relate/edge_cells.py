"""Cells of the edges of two copies of a picture: which of the photos is drawn over, and whether both show one frame."""

import numpy as np
import numpy.typing as npt

Cells = npt.NDArray[np.float32]
"""(16, 16) strengths of edges, levels; see `curate.measure.framing.edge_grid`."""

TOLERANCE, RELATIVE_TOLERANCE, QUANTISED_TOLERANCE = 0.5, 0.1, 0.05
"""Difference of a cell that coding and resizing explain: in levels, relative to the larger one, and in levels for each
level of the coarser quantisation."""

MAX_CHANGED, MAX_CHANGED_IN_FRAME = 0.4, 0.1
"""Share of differing cells above which two photos are framed differently, so that their cells cannot be compared, and
up to which they certainly show one frame."""

MIN_RATIO, QUANTISED_RATIO, _FLOOR = 1.5, 0.02, 3.0
"""Factor by which at least one cell must differ, more for each level of the coarser quantisation, with so many levels
added to both: coarse coding and a faint overlay weaken edges by less, which does not show which photo is drawn over."""

_FLAT, _MIN_ERASED = 0.5, 3
"""Edges of a cell in one colour, levels; cells of a painted band that show edges in the other photo."""


def is_drawn_over(cells: Cells, other: Cells, step: float) -> bool:
    """Whether a photo has more edges in few cells (text, logos), or a painted band where the other one has edges.

    Args:
        cells, other: of two photos of one shape, one of which may be mirrored.
        step: the coarser quantisation of both, levels.
    """
    other, change = _changes(cells, other, step)
    if np.count_nonzero(change) > MAX_CHANGED * change.size:
        return False
    has_band, other_has_band = _has_band(cells, change), _has_band(other, -change)
    if has_band != other_has_band:
        return has_band
    ratio = (np.maximum(cells, other) + _FLOOR) / (np.minimum(cells, other) + _FLOOR)
    is_clear = bool((ratio[change != 0] > MIN_RATIO + QUANTISED_RATIO * (step - 1)).any())
    # What is drawn over a texture hides it, and adds edges in more cells than it takes them from.
    return is_clear and bool(change.sum() > 0)


def cells_agree(cells: Cells, other: Cells, step: float) -> bool:
    """Whether the cells of two photos of one shape agree so well that both show one frame; arguments as above."""
    return bool(np.count_nonzero(_changes(cells, other, step)[1]) <= MAX_CHANGED_IN_FRAME * cells.size)


def _changes(cells: Cells, other: Cells, step: float) -> tuple[Cells, Cells]:
    """Return the other cells, mirrored where they agree better, and the changes: 1 for more edges, -1 for fewer."""
    compared = [(side, _change(cells, side, step)) for side in (other, other[:, ::-1])]
    return min(compared, key=lambda pair: np.count_nonzero(pair[1]))


def _change(cells: Cells, other: Cells, step: float) -> Cells:
    difference = cells - other
    tolerance = TOLERANCE + RELATIVE_TOLERANCE * np.maximum(cells, other) + QUANTISED_TOLERANCE * (step - 1)
    return np.asarray(np.sign(difference) * (np.abs(difference) > tolerance), np.float32)


def _has_band(cells: Cells, change: Cells) -> bool:
    """Whether lines of cells hold text on one colour, where the other photo has edges in several cells."""
    for levels, changes in ((cells, change), (cells.T, change.T)):
        flat, raised = levels < _FLAT, changes > 0
        lines = (flat | raised).all(1) & ((flat & (changes < 0)).sum(1) >= _MIN_ERASED)
        if raised[lines].any():
            return True
    return False
