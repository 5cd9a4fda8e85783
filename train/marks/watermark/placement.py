"""Placements: where the tile of the pattern lies in a picture."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.marks.watermark.grid import tile_side

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """A map from the positions of a picture to those of the pattern.

    Attributes:
        matrix: float64 (2, 3); position in tiles = matrix @ (x, y, 1), with (x, y) in pixels from the top left corner
            of the picture. Whole tiles do not matter, because the pattern repeats.
    """

    matrix: Matrix

    @property
    def mirrored(self) -> bool:
        """Whether the picture is mirrored."""
        return bool(np.linalg.det(self.matrix[:, :2]) < 0)

    @property
    def tile(self) -> tuple[float, float]:
        """Width and height in pixels of the tile in the picture, along its own axes."""
        axes = np.linalg.inv(self.matrix[:, :2])
        return float(np.hypot(*axes[:, 0])), float(np.hypot(*axes[:, 1]))

    @property
    def rotation(self) -> float:
        """Clockwise turn of the marked picture in this one, -180 to 180 degrees; of a mirrored one, after mirroring."""
        axes = np.linalg.inv(self.matrix[:, :2])
        sign = -1 if self.mirrored else 1
        degrees = math.degrees(math.atan2(sign * axes[1, 0], sign * axes[0, 0]))
        return degrees + 0.0  # no negative zero


def upright(height: int, width: int, mirrored: bool = False) -> Placement:
    """The placement in a marked picture of this size, or in its mirror image."""
    side = tile_side(height, width)
    if mirrored:
        return Placement(np.array([[-1 / side, 0, width / side], [0, 1 / side, 0]]))
    return Placement(np.array([[1 / side, 0, 0], [0, 1 / side, 0]]))
