"""What distinguishes copies of one picture besides their size: a border, drawing over it, coarser coding."""

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]

FLAT_DEVIATION = 3.0
"""Standard deviation of luma, levels, up to which a whole row or column is one colour."""

GRID = 16
"""Cells of `edge_grid` along each side."""

_GRID_SIDE = 192
_EDGE_FLOOR = 3.0
_GRID_STEPS = 4.0
"""Px of the square on which edges are measured; levels that noise and coding leave; steps of a byte per level."""

_BLOCK = 8
_MAX_BLOCKS = 1500
_MAX_STEP = 60
_BINS = 4
"""Side of a JPEG block, px; blocks that are analysed; largest step that is recognised; bins per level."""

_MIN_COEFFICIENTS = 30
_MIN_AGREEMENT = 0.35
"""A step needs so many coefficients that are not rounded to 0, and so high a mean cosine (1: all are multiples)."""

_LOW_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))


def photo_framing(luma: Gray) -> dict[str, float | bytes]:
    """Measure the luma of a photo, uint8 (H, W).

    Returns:
        - `border`: share of the photo's area in rows and columns of one colour at its sides, 0-1.
        - `edge_grid`: strength of edges in 16 x 16 cells of the photo, a byte each (1/4 level), row by row. Copies
          differ in the cells where one of them is drawn over.
        - `quantisation`: see `quantisation`.
    """
    return {
        "border": 1 - luma[_content(luma)].size / luma.size,
        "edge_grid": edge_grid(luma),
        "quantisation": quantisation(luma),
    }


def _content(gray: Gray) -> tuple[slice, slice]:
    """Rows and columns without the lines of one colour at the sides; the whole photo where nothing else is left."""
    rows = _inner(gray)
    return rows, _inner(gray[rows].T)


def _inner(lines: Gray) -> slice:
    """Range from the first to the last line that is not of one colour."""

    def varies(index: int) -> bool:
        return bool(lines[index].std() > FLAT_DEVIATION)

    first = next((index for index in range(len(lines)) if varies(index)), None)
    if first is None:
        return slice(None)
    return slice(first, next(index for index in range(len(lines), first, -1) if varies(index - 1)))


def edge_grid(gray: Gray) -> bytes:
    """Root mean square of the gradient, less what coding leaves, in GRID x GRID cells of luma uint8 (H, W)."""
    shrinks = min(gray.shape) > _GRID_SIDE
    square = cv2.resize(gray, (_GRID_SIDE, _GRID_SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(square, (0, 0), 0.8)
    steps = cv2.max(*(np.abs(cv2.Sobel(smooth, cv2.CV_16S, dx, dy)) for dx, dy in ((1, 0), (0, 1))))
    strength = np.maximum(steps.astype(np.float32) / 8 - _EDGE_FLOOR, 0)
    cells = np.sqrt(cv2.resize(strength * strength, (GRID, GRID), interpolation=cv2.INTER_AREA))
    return bytes(np.clip(np.rint(cells * _GRID_STEPS), 0, 255).astype(np.uint8))


def grid_levels(packed: bytes) -> npt.NDArray[np.float32]:
    """Decode an `edge_grid`: float32 (16, 16), levels per px."""
    return np.frombuffer(packed, np.uint8).reshape(GRID, GRID).astype(np.float32) / _GRID_STEPS


def _waves() -> npt.NDArray[np.float32]:
    """The low frequencies of the DCT-II of a block, (64, F)."""
    position = np.arange(_BLOCK)

    def wave(k: int) -> npt.NDArray[np.float64]:
        return np.asarray(np.sqrt((2 if k else 1) / _BLOCK) * np.cos(np.pi / 16 * k * (2 * position + 1)), np.float64)

    return np.stack([np.outer(wave(u), wave(v)).ravel() for u, v in _LOW_FREQUENCIES], 1).astype(np.float32)


def _combs() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each step q of 2 to _MAX_STEP the cosine of period q at every bin, and which bins count: from q / 2 on."""
    level = (np.arange(256 * _BINS) + 0.5) / _BINS
    steps = np.arange(2, _MAX_STEP + 1)[:, None]
    counted = (level >= steps / 2).astype(np.float32)
    return (np.cos(2 * np.pi * level / steps) * counted).astype(np.float32), counted


_DCT = _waves()
_COSINES, _COUNTED = _combs()


def quantisation(gray: Gray) -> float:
    """Measure the step to which a JPEG coder rounded the low frequencies, levels; 1 where no step is visible.

    The median over five frequencies of the largest step of which the coefficients of the 8 px blocks are multiples. A
    photo that was coded coarsely and saved again finely shows the coarse step. After Fan and de Queiroz,
    "Identification of bitmap compression history", 2003. NaN where the photo has fewer than 16 blocks.
    """
    height, width = gray.shape[0] // _BLOCK, gray.shape[1] // _BLOCK
    if height * width < 16:
        return float("nan")
    blocks = gray[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, width, _BLOCK).transpose(0, 2, 1, 3)
    blocks = blocks.reshape(-1, _BLOCK, _BLOCK) if height * width <= _MAX_BLOCKS else _thinned(blocks)
    coefficients = np.abs(blocks.reshape(len(blocks), -1).astype(np.float32) @ _DCT)
    frequencies, levels = coefficients.shape[1], 256 * _BINS
    bins = np.minimum(coefficients * _BINS, levels - 1).astype(np.int64) + levels * np.arange(frequencies)
    histograms = np.bincount(bins.ravel(), minlength=levels * frequencies).reshape(-1, levels).astype(np.float32)
    counts = histograms @ _COUNTED.T  # (frequencies, steps)
    fits = (counts >= _MIN_COEFFICIENTS) & (histograms @ _COSINES.T > _MIN_AGREEMENT * counts)
    largest = [steps[-1] + 2 if len(steps := np.flatnonzero(row)) else 1 for row in fits]
    return float(np.median(largest))


def _thinned(blocks: Gray) -> Gray:
    """Blocks (rows, columns, 8, 8) -> about _MAX_BLOCKS of them, evenly spread."""
    stride = int(np.ceil(np.sqrt(blocks.shape[0] * blocks.shape[1] / _MAX_BLOCKS)))
    return blocks[::stride, ::stride].reshape(-1, _BLOCK, _BLOCK)
