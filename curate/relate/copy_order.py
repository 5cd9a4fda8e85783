"""Order of the photos of a duplicate group: the best original first, and what is wrong with every other copy.

What counts is what the pixels show, not how many there are: an enlarged copy yields to its original, a bordered, drawn
over or coarsely coded one to the plain one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SAME_SIZE = 1.1
"""Factor between two distances of the eyes from which the photos count as of different size."""

MIN_GAIN, SMALL_GAIN, MAX_SMALL_GAIN = 0.5, 0.75, 0.3
"""Share of its additional octaves of size that a larger copy must resolve, or it is an enlargement. Small differences,
where the resolution is less certain, need the larger share, up to a gain of 0.3 octaves."""

SOFT_RATIO = 0.8
"""Resolution relative to a copy of the same size, below which a copy has lost detail."""

MIN_BORDER = 0.02
"""Additional share of the area in a border."""

SAME_EXTENT = 0.95
"""Extent relative to another copy, below which a copy is cropped."""

EDGE_TOLERANCE, RELATIVE_EDGE_TOLERANCE, QUANTISED_EDGE_TOLERANCE = 0.5, 0.1, 0.05
"""Difference of a cell of two edge grids that coding and resizing explain: in levels, relative to the larger one, and
in levels for each level of the coarser quantisation."""

MAX_CHANGED_CELLS = 0.4
"""Share of differing cells above which two photos are framed differently, and their cells cannot be compared."""

COARSER, MIN_COARSER = 1.15, 0.5
"""Factor and difference in levels of the quantisation from which a copy is coded more coarsely."""


@dataclass(frozen=True)
class Copy:
    """What is compared of one photo; NaN where a number is unknown.

    Attributes:
        image_id: its name.
        size: width and height, px of the file.
        eye_distance: of its main face, px of the file.
        extent: side of the photo without its border, in eye distances.
        resolution, border, quantisation: columns of the measures.
        edge_grid: (16, 16) levels; None where it is unknown.
        file_size: bytes.
    """

    image_id: str
    size: tuple[int, int] = (0, 0)
    eye_distance: float = np.nan
    extent: float = np.nan
    resolution: float = np.nan
    border: float = np.nan
    quantisation: float = np.nan
    edge_grid: Floats | None = None
    file_size: int = 0


def _without_face(copy: Copy, other: Copy) -> bool:
    return bool(np.isnan(copy.eye_distance))


def is_enlarged(copy: Copy, other: Copy) -> bool:
    """Whether a copy is larger than another one and resolves little more."""
    octaves = _octaves(copy, other)
    gain = octaves + np.log2(copy.resolution / other.resolution)
    required = max(MIN_GAIN * octaves, min(SMALL_GAIN * octaves, MAX_SMALL_GAIN))
    return bool((octaves > np.log2(SAME_SIZE)) & (gain < required))


def _is_smaller(copy: Copy, other: Copy) -> bool:
    return bool(_octaves(other, copy) > np.log2(SAME_SIZE)) and not is_enlarged(other, copy)


def _octaves(copy: Copy, other: Copy) -> float:
    """How much larger a copy is than another one; photos of the same width and height are equal.

    Drawing over a face moves its landmarks.
    """
    return 0.0 if copy.size == other.size else float(np.log2(copy.eye_distance / other.eye_distance))


def _is_soft(copy: Copy, other: Copy) -> bool:
    return bool(copy.resolution < SOFT_RATIO * other.resolution)


def _is_bordered(copy: Copy, other: Copy) -> bool:
    # A border that is added changes the size. Coarse coding and text hide one: its lines are no longer of one colour.
    is_framed = copy.border > other.border + MIN_BORDER and copy.size != other.size
    return bool(is_framed and other.extent > SAME_EXTENT * copy.extent)


def _is_drawn_over(copy: Copy, other: Copy) -> bool:
    """Whether a copy has more edges, in few places: text and logos."""
    if copy.edge_grid is None or other.edge_grid is None:
        return False
    coarser = np.fmax(np.fmax(copy.quantisation, other.quantisation), 1.0) - 1.0
    # One of the photos may be mirrored.
    changes = (_changes(copy.edge_grid, grid, coarser) for grid in (other.edge_grid, other.edge_grid[:, ::-1]))
    change = min(changes, key=np.count_nonzero)
    return bool(np.count_nonzero(change) <= MAX_CHANGED_CELLS * change.size and change.sum() > 0)


def _changes(grid: Floats, other: Floats, coarser: float) -> Floats:
    """1 for a cell with more edges beyond the tolerance, -1 for one with fewer, else 0.

    What is drawn over a texture hides it, and adds edges in more cells than it takes them from.
    """
    difference = grid - other
    tolerance = EDGE_TOLERANCE + RELATIVE_EDGE_TOLERANCE * np.maximum(grid, other) + QUANTISED_EDGE_TOLERANCE * coarser
    return np.asarray(np.sign(difference) * (np.abs(difference) > tolerance), np.float32)


def _is_recompressed(copy: Copy, other: Copy) -> bool:
    return bool(copy.quantisation > max(COARSER * other.quantisation, other.quantisation + MIN_COARSER))


def _is_cropped(copy: Copy, other: Copy) -> bool:
    return bool(copy.extent < SAME_EXTENT * other.extent)


FLAWS: dict[str, Callable[[Copy, Copy], bool]] = {
    "no face": _without_face,
    "enlarged": is_enlarged,
    "smaller": _is_smaller,
    "drawn over": _is_drawn_over,
    "bordered": _is_bordered,
    "recompressed": _is_recompressed,
    "soft": _is_soft,
    "cropped": _is_cropped,
}
"""What can be wrong with a copy relative to another one. The first that holds in one direction decides, so that what
disturbs another measure comes before it: text and coarse coding look like detail."""


def flaw(copy: Copy, other: Copy) -> str | None:
    """Return the first of FLAWS that one copy has relative to another one, and not the other way round."""
    for name, applies in FLAWS.items():
        is_flawed = applies(copy, other)
        if is_flawed != applies(other, copy):
            return name if is_flawed else None
    return None


def best_first(copies: Sequence[Copy]) -> list[Copy]:
    """Return the copies of one picture from the best to the worst.

    Of equal ones the larger file is better; the smaller one where quantisation is visible and equal, because the larger
    one has then been saved again. Then the name decides.
    """
    return sorted(sorted(copies, key=lambda copy: copy.image_id), key=cmp_to_key(_compare))


def _compare(copy: Copy, other: Copy) -> int:
    if flaw(copy, other):
        return 1
    if flaw(other, copy):
        return -1
    larger = int(copy.file_size > other.file_size) - int(copy.file_size < other.file_size)
    return larger if min(copy.quantisation, other.quantisation) > 1 else -larger
