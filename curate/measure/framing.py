"""What distinguishes copies of one picture besides their size: a border, drawing over it, coarser coding."""

import cv2
import numpy as np
import numpy.typing as npt

from curate.decode import Pixels
from curate.measure.quantisation import quantisation

Gray = npt.NDArray[np.uint8]

FLAT_DEVIATION = 3.0
"""Standard deviation of luma, levels, up to which a whole row or column is one colour."""

GRID = 16
"""Cells of `edge_grid` along each side."""

_GRID_SIDE = 192
_EDGE_FLOOR = 3.0
_GRID_STEPS = 4.0
"""Px of the square on which edges are measured; levels that noise and coding leave; steps of a byte per level."""


def photo_framing(pixels: Pixels, luma: Gray) -> dict[str, float | bytes]:
    """Measure a photo, uint8 (H, W, 3) RGB, and its luma, uint8 (H, W).

    Returns:
        - `border`: share of the photo's area in rows and columns of one colour at its sides, 0-1.
        - `edge_grid`: strength of edges in 16 x 16 cells of the photo, a byte each (1/4 level), row by row. Copies
          differ in the cells where one of them is drawn over. Of red, green and blue the strongest edge counts:
          coloured text may have the luma of what is below it.
        - `quantisation`: see `quantisation`.
    """
    return {
        "border": 1 - luma[_content(luma)].size / luma.size,
        "edge_grid": edge_grid(pixels),
        "quantisation": quantisation(luma),
    }


def _content(gray: Gray) -> tuple[slice, slice]:
    """Rows and columns without the lines of one colour at the sides; the whole photo where nothing else is left."""
    rows = _inner(gray, 0)
    return rows, _inner(gray[rows], 1)


def _inner(gray: Gray, axis: int) -> slice:
    """Range from the first to the last line that is not of one colour: of the rows (0) or of the columns (1)."""

    def varies(index: int) -> bool:
        line = gray[index : index + 1] if axis == 0 else gray[:, index : index + 1]
        return bool(cv2.meanStdDev(line)[1][0, 0] > FLAT_DEVIATION)

    count = gray.shape[axis]
    first = next((index for index in range(count) if varies(index)), None)
    if first is None:
        return slice(None)
    return slice(first, next(index for index in range(count, first, -1) if varies(index - 1)))


def edge_grid(pixels: Pixels) -> bytes:
    """Root mean square of the gradient, less what coding leaves, in GRID x GRID cells of a photo uint8 (H, W, 3)."""
    height, width = pixels.shape[:2]
    shrinks = min(height, width) > _GRID_SIDE
    # Means over whole px first: much faster, and what is left is a small step.
    rows, columns = max(1, height // _GRID_SIDE), max(1, width // _GRID_SIDE)
    if max(rows, columns) > 1:
        means = cv2.resize(pixels, (width // columns, height // rows), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(means, np.uint8)
    interpolation = cv2.INTER_LINEAR if shrinks else cv2.INTER_CUBIC
    square = cv2.resize(pixels, (_GRID_SIDE, _GRID_SIDE), interpolation=interpolation)
    smooth = cv2.GaussianBlur(square, (0, 0), 0.8)
    red, green, blue = cv2.split(cv2.max(*(np.abs(cv2.Sobel(smooth, cv2.CV_16S, *axis)) for axis in ((1, 0), (0, 1)))))
    strength = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    strength *= 1 / 8
    strength -= _EDGE_FLOOR
    np.maximum(strength, 0, out=strength)
    strength *= strength
    cells = np.sqrt(cv2.resize(strength, (GRID, GRID), interpolation=cv2.INTER_AREA))
    return bytes(np.clip(np.rint(cells * _GRID_STEPS), 0, 255).astype(np.uint8))


def grid_levels(packed: bytes) -> npt.NDArray[np.float32]:
    """Decode an `edge_grid`: float32 (16, 16), levels per px."""
    return np.frombuffer(packed, np.uint8).reshape(GRID, GRID).astype(np.float32) / _GRID_STEPS
