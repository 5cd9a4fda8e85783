"""SVG of a pose map: chosen and kept photos in each cell of yaw and pitch, gaps hatched."""

from html import escape

import numpy as np
import numpy.typing as npt

from curate.select.cells import PITCH_NAMES, POSES, YAW_NAMES

Counts = npt.NDArray[np.int64]

CELL_WIDTH, CELL_HEIGHT = 40, 26
LEFT, FOOT = 54, 16
"""Sizes in SVG units: a cell, space for the names of rows and of columns."""

_ROWS, _COLUMNS = len(PITCH_NAMES), len(YAW_NAMES)
_SHORT = ("far l.", "left", "half l.", "ahead", "half r.", "right", "far r.")


def pose_counts(codes: Counts) -> Counts:
    """Return the number of photos in each cell, (POSES,), of pose codes (N,)."""
    return np.bincount(codes, minlength=POSES)


def pose_map_svg(kept: Counts, chosen: Counts, name: str) -> str:
    """Draw the map of (POSES,) kept and chosen photos; faces that look up are above.

    A cell shows the number of chosen photos; the deeper its colour, the larger their share of the most in a cell.
    Cells in which the person has no photo are hatched, and those of which none was chosen are empty.
    """
    most = max(1, int(chosen.max()))
    parts = []
    for row in range(_ROWS):
        y = (_ROWS - 1 - row) * CELL_HEIGHT
        parts.append(f'<text x="{LEFT - 4}" y="{y + 17}" text-anchor="end">{PITCH_NAMES[row]}</text>')
        for column in range(_COLUMNS):
            x = LEFT + column * CELL_WIDTH
            here, all_here = int(chosen[row * _COLUMNS + column]), int(kept[row * _COLUMNS + column])
            title = f"{PITCH_NAMES[row]}, {YAW_NAMES[column]}: {here:,} chosen of {all_here:,} kept"
            kind = "gap" if not all_here else "cell"
            opacity = f' fill-opacity="{0.15 + 0.85 * (here / most) ** 0.5:.2f}"' if here else ' fill-opacity="0"'
            parts.append(
                f'<rect class="{kind}" x="{x + 1}" y="{y + 1}" width="{CELL_WIDTH - 2}" height="{CELL_HEIGHT - 2}"'
                f"{opacity if all_here else ''}><title>{title}</title></rect>"
            )
            if here:
                parts.append(
                    f'<text class="count" x="{x + CELL_WIDTH / 2:g}" y="{y + 17}" text-anchor="middle">{here:,}</text>'
                )
    for column, text in enumerate(_SHORT):
        middle = LEFT + (column + 0.5) * CELL_WIDTH
        parts.append(f'<text x="{middle:g}" y="{_ROWS * CELL_HEIGHT + 12}" text-anchor="middle">{text}</text>')
    covered, present = int((chosen > 0).sum()), int((kept > 0).sum())
    label = f"{escape(name)}: {covered} of the {present} poses of the kept photos are chosen"
    return (
        f'<svg class="poses" viewBox="0 0 {LEFT + _COLUMNS * CELL_WIDTH} {_ROWS * CELL_HEIGHT + FOOT}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )
