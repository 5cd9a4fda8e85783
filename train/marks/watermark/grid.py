"""Luma of pictures, its variance and its detail, on grids of cells."""

import cv2
import numpy as np
import numpy.typing as npt

from train.marks.watermark.carriers import TILE

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

MAX_TILES = 16
"""Tiles along the long side; bounds the memory for strips."""

_VARIANCE_WINDOW = 5  # cells
_DETAIL_WINDOW = 9  # cells
_MIN_DETAIL_VARIANCE = 1.0  # added before dividing, so that noise in flat areas is not amplified


def luma(rgb: Pixels) -> Pixels:
    """Luma (ITU-R BT.601, as in JPEG and most video) of a picture uint8 (H, W, 3) RGB: uint8 (H, W)."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), np.uint8)


def tile_side(height: int, width: int) -> float:
    """Side of the tile in a picture of this size, pixels: the short side; of strips longer than 16 : 1, more."""
    return max(min(height, width), max(height, width) / MAX_TILES)


def cells_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the grid that spans a picture of this size: the short side has as many as the tile."""
    side = tile_side(height, width)
    return max(1, round(height * TILE / side)), max(1, round(width * TILE / side))


def resample(plane: npt.NDArray[np.uint8] | Floats, rows: int, columns: int) -> Floats:
    """A picture (H, W) or (H, W, C) on a grid of this size: float32 (rows, columns, ...). Averages where reduced."""
    shrinks = rows <= plane.shape[0] and columns <= plane.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(plane, (columns, rows), interpolation=interpolation), np.float32)


def variance(grid: Floats) -> Floats:
    """Variance in the 5 x 5 cells around each cell, of a grid (rows, columns)."""
    mean = box_mean(grid, _VARIANCE_WINDOW)
    return np.maximum(box_mean(grid * grid, _VARIANCE_WINDOW) - mean * mean, 0)


def detail(grid: Floats) -> Floats:
    """High-pass of a luma grid, divided by its local standard deviation: (rows, columns).

    The amplitude of the mark is proportional to the local activity. After the division it is uniform, which is what a
    matched filter in noise of uneven strength requires.
    """
    residual = grid - box_mean(grid, _DETAIL_WINDOW)
    deviation = np.sqrt(box_mean(residual * residual, _DETAIL_WINDOW) + _MIN_DETAIL_VARIANCE)
    return np.asarray(residual / deviation, np.float32)


def box_mean(grid: Floats, size: int) -> Floats:
    """Mean over the `size` x `size` cells around each cell, with border cells replicated outwards. `size` is odd."""
    return np.asarray(cv2.blur(grid, (size, size), borderType=cv2.BORDER_REPLICATE), np.float32)


def fold(grid: Floats) -> Floats:
    """The sum of the tiles of a grid (rows, columns): (256, 256)."""
    rows, columns = (-(-size // TILE) * TILE for size in grid.shape)
    if (rows, columns) != grid.shape:
        padded = np.zeros((rows, columns), np.float32)
        padded[: grid.shape[0], : grid.shape[1]] = grid
        grid = padded
    return np.asarray(grid.reshape(rows // TILE, TILE, columns // TILE, TILE).sum((0, 2)), np.float32)
