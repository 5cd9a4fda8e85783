"""Order of the photos of a duplicate group: the best original first, and what is wrong with every other copy.

What counts is what the pixels show, not how many there are: an enlarged copy yields to its original, a bordered, drawn
over or coarsely coded one to the plain one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

import numpy as np
import numpy.typing as npt

from curate.relate.edge_cells import Cells, cells_agree, is_drawn_over

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

SAME_AREA = 0.01
"""Relative difference of two areas in px up to which they count as equal."""

COARSER, MIN_COARSER = 1.15, 0.5
"""Factor and difference in levels of the quantisation from which a copy is coded more coarsely."""

LOSSY_STEP, LOSSY_RATIO = 3.0, 1.5
"""Step of a file's own table, levels, and factor over that of another file, from which saving again lost detail."""

SAME_BYTES = 0.006
"""Relative difference of two file sizes up to which one coder has written nearly the same coefficients: saved again
with a table that is coarser by 3% a photo loses .4 to .7% of its bytes; with one that is finer by 3% it gains more."""

MAX_COMPARED = 32
"""Best photos of a group of which each is compared with each, after sorting."""


@dataclass(frozen=True)
class Copy:
    """What is compared of one photo; NaN where a number is unknown.

    Attributes:
        image_id: its name.
        size: width and height, px of the file; (0, 0) where it is unknown.
        eye_distance: of its main face, px of the file.
        extent: side of the photo without its border, in eye distances.
        resolution, border, quantisation, jpeg_step: columns of the measures.
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
    jpeg_step: float = np.nan
    edge_grid: Cells | None = None
    file_size: int = 0

    @property
    def step(self) -> float:
        """The coarsest step to which the photo was rounded, levels: in its pixels, or in its own table."""
        return float(np.fmax(self.quantisation, self.jpeg_step))

    @property
    def content(self) -> float:
        """Area without the border, px of the file."""
        return self.size[0] * self.size[1] * (1 - self.border)


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
    """How much larger a copy is than another one: by the sizes of the photos where both show one frame.

    Drawing over a face, a border beside it, and small faces make the distance of the eyes uncertain.
    """
    if copy.size == other.size or _contains(copy, other) or _contains(other, copy):
        return 0.0
    if _show_one_frame(copy, other):
        return float(np.log2(np.prod(copy.size) / np.prod(other.size)) / 2)
    return float(np.log2(copy.eye_distance / other.eye_distance))


def _show_one_frame(copy: Copy, other: Copy) -> bool:
    if copy.edge_grid is None or other.edge_grid is None or not _have_one_shape(copy, other):
        return False
    return cells_agree(copy.edge_grid, other.edge_grid, _coarsest(copy, other))


def _is_soft(copy: Copy, other: Copy) -> bool:
    return bool(copy.resolution < SOFT_RATIO * other.resolution)


def _is_bordered(copy: Copy, other: Copy) -> bool:
    # A border that is added changes the size. Coarse coding and text hide one: its lines are no longer of one colour.
    is_framed = copy.border > other.border + MIN_BORDER and copy.size != other.size
    return bool(is_framed and (other.extent > SAME_EXTENT * copy.extent or _contains(copy, other)))


def _contains(copy: Copy, other: Copy) -> bool:
    """Whether a copy shows the whole of another photo, px for px, within its border.

    A border beside plain rows of the photo makes these rows part of the content, which then has a larger extent.
    """
    width, height = other.size
    has_room = copy.size != other.size and copy.size[0] >= width and copy.size[1] >= height
    return has_room and bool(abs(copy.content - width * height) < SAME_AREA * width * height)


def _is_drawn_over(copy: Copy, other: Copy) -> bool:
    if copy.edge_grid is None or other.edge_grid is None or not _have_one_shape(copy, other):
        return False
    return is_drawn_over(copy.edge_grid, other.edge_grid, _coarsest(copy, other))


def _coarsest(copy: Copy, other: Copy) -> float:
    """The coarser step of two photos, at least 1."""
    return float(np.fmax(np.fmax(copy.step, other.step), 1.0))


def _have_one_shape(copy: Copy, other: Copy) -> bool:
    """Whether two photos have one ratio of width to height and equal borders: their cells then show the same places."""
    if copy.size == other.size or 0 in (*copy.size, *other.size):
        return True
    (width, height), (other_width, other_height) = copy.size, other.size
    rounding = 1.5 / min(*copy.size, *other.size)
    is_as_wide = abs(np.log(width * other_height / (height * other_width))) < rounding
    return bool(is_as_wide and not abs(copy.border - other.border) > MIN_BORDER)


def _is_recompressed(copy: Copy, other: Copy) -> bool:
    return _is_coarser(copy.step, other.step)


def _is_saved_again(copy: Copy, other: Copy) -> bool:
    """Whether a copy of equal coarseness was saved again: the step in its pixels is not that of its own table.

    Of two that were saved again, the one with the much coarser table has lost more, whichever came from the other.
    """
    if np.isnan(copy.jpeg_step) or np.isnan(other.jpeg_step):
        return False
    again, other_again = (_is_coarser(photo.step, photo.jpeg_step) for photo in (copy, other))
    return again and (not other_again or copy.jpeg_step > max(LOSSY_STEP, LOSSY_RATIO * other.jpeg_step))


def _is_coarser(step: float, other: float) -> bool:
    return step > max(COARSER * other, other + MIN_COARSER)


def _is_cropped(copy: Copy, other: Copy) -> bool:
    return bool(copy.extent < SAME_EXTENT * other.extent) and not _contains(other, copy)


FLAWS: dict[str, Callable[[Copy, Copy], bool]] = {
    "no face": _without_face,
    "enlarged": is_enlarged,
    "smaller": _is_smaller,
    "drawn over": _is_drawn_over,
    "bordered": _is_bordered,
    "recompressed": _is_recompressed,
    "saved again": _is_saved_again,
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

    Errors of the measures make circles: an enlarged copy seems to resolve more than its original, but not more than a
    bordered copy of it. The first MAX_COMPARED of the sorted copies are therefore ordered by comparing each with each.

    Of two equal ones the larger file is better; the smaller one where quantisation is visible, because the larger one
    has then been saved again, unless the sizes are almost equal: saving again by the same coder only loses
    coefficients. Then the name decides.
    """
    ordered = sorted(sorted(copies, key=lambda copy: copy.image_id), key=cmp_to_key(_compare))
    first, rest = ordered[:MAX_COMPARED], ordered[MAX_COMPARED:]
    results = np.array([_compare(copy, other) for copy in first for other in first], np.int64)
    order = _by_victories(results.reshape(len(first), len(first)), np.arange(len(first)))
    return [first[row] for row in order] + rest


def _by_victories(results: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> list[int]:
    """Order rows by their victories less their defeats among them (Copeland's method); equal ones among themselves.

    results: (N, N) `_compare` of every pair.
    """
    balance = -results[np.ix_(rows, rows)].sum(1)
    if len(set(balance.tolist())) <= 1:
        return [int(row) for row in rows]
    return [row for value in np.unique(balance)[::-1] for row in _by_victories(results, rows[balance == value])]


def _compare(copy: Copy, other: Copy) -> int:
    if flaw(copy, other):
        return 1
    if flaw(other, copy):
        return -1
    larger = int(copy.file_size > other.file_size) - int(copy.file_size < other.file_size)
    is_same_coder = abs(copy.file_size - other.file_size) < SAME_BYTES * max(copy.file_size, other.file_size)
    return larger if min(copy.step, other.step) > 1 and not is_same_coder else -larger
