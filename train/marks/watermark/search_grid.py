"""The grid on which pictures are searched for the tile of the pattern."""

import math
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from train.marks.watermark.carriers import TILE
from train.marks.watermark.grid import Floats, fold
from train.marks.watermark.placement import Matrix, Placement

Value = TypeVar("Value", bound=np.generic)

CELLS = 320
"""The picture is searched on a grid of about CELLS x CELLS cells, as many for every shape."""

CANVAS = 640
"""Side of the zero-padded grid. Longer pictures, of more than 4 : 1, are searched with fewer cells."""

MIN_TILE, MAX_TILE = 90.0, 700.0
"""Side of the tile, in cells of the search grid. The smallest has the pilot just below the Nyquist frequency."""

_MAX_CELLS = 1280


@dataclass(frozen=True)
class SearchGrid:
    """Detail of a picture on the search grid, float32 of `search_size`; height, width: of the picture, pixels."""

    detail: Floats
    height: int
    width: int

    def from_pixels(self, placement: Placement) -> Matrix:
        """The matrix of a placement in the picture, for positions on the grid."""
        rows, columns = self.detail.shape
        return np.asarray(placement.matrix * [self.width / columns, self.height / rows, 1], np.float64)

    def to_pixels(self, matrix: Matrix) -> Placement:
        """The placement in the picture, of a matrix for positions on the grid."""
        rows, columns = self.detail.shape
        return Placement(matrix * np.array([columns / self.width, rows / self.height, 1]))


def search_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the search grid of a picture of this size."""
    scale = min(CELLS / math.sqrt(height * width), CANVAS / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


@dataclass(frozen=True)
class Window:
    """A part of the search grid: its first row and column, and its largest side, in cells."""

    top: int
    left: int
    side: int

    def of(self, detail: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """The part of a grid in this window."""
        rows, columns = slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)
        return np.ascontiguousarray(detail[rows, columns])

    def local(self, matrix: Matrix) -> Matrix:
        """A matrix for positions on the grid, as one for positions in this window."""
        return np.column_stack([matrix[:, :2], matrix @ [self.left, self.top, 1]])

    def whole(self, matrix: Matrix) -> Matrix:
        """A matrix for positions in this window, as one for positions on the grid."""
        return np.column_stack([matrix[:, :2], matrix @ [-self.left, -self.top, 1]])


def restore(grid: SearchGrid, placement: Placement, window: Window | None = None) -> Floats:
    """The detail of a picture, or of a window of it, laid on the tile and summed: float32 (256, 256)."""
    matrix = grid.from_pixels(placement) * TILE  # to cells of the pattern
    detail = grid.detail
    if window is not None:
        detail, matrix = window.of(detail), window.local(matrix)
    rows, columns = detail.shape
    corners = matrix @ np.array([[0, columns, 0, columns], [0, 0, rows, rows], [1, 1, 1, 1]])
    first = np.floor(corners.min(1)).astype(int)
    size = np.minimum(np.ceil(corners.max(1)).astype(int) - first, _MAX_CELLS)
    # OpenCV's positions are those of centres of cells.
    linear = np.linalg.inv(matrix[:, :2])
    warp = np.column_stack([linear, linear @ (first + 0.5 - matrix[:, 2]) - 0.5])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    tiles = cv2.warpAffine(detail, warp, (int(size[0]), int(size[1])), flags=flags)
    return np.roll(fold(np.asarray(tiles, np.float32)), first[::-1], (0, 1))


def lay_pattern(grid: SearchGrid, placement: Placement, pattern: Floats) -> Floats:
    """The pattern, a tile float32 (256, 256), as it lies on the search grid: float32 of the grid's size."""
    rows, columns = grid.detail.shape
    (a, b, x), (c, d, y) = grid.from_pixels(placement) * TILE
    across, down = np.arange(columns) + 0.5, (np.arange(rows) + 0.5)[:, None]
    map_x = (a * across + b * down + x - 0.5) % TILE
    map_y = (c * across + d * down + y - 0.5) % TILE
    # One cell more, so that what lies between the last cell and the first is interpolated.
    wrapped = cv2.copyMakeBorder(pattern, 0, 1, 0, 1, cv2.BORDER_WRAP)
    laid = cv2.remap(wrapped, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(laid, np.float32)
