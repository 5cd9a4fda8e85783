"""The image pyramids of a batch of photos, grouped into frames that pass through PNet together.

Boxes of faces that fill a photo, which need no pyramid, are here too.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.detectors.canvas import Canvas

FACTOR = 0.709
"""Ratio of the sides of two successive levels, as in the original MTCNN."""
CELL = 12
"""Side in px of what one cell of PNet sees."""

_FRAME_SIDES = (0.6, 0.7, 0.8, 0.95, 1.1, 1.3)  # sides of `frame_boxes`, in units of the photo's shorter side
_FRAME_STEP = 0.12  # distance of their centres
_FRAME_BORDER = 0.25  # least distance of a centre to the photo's border
_MAX_ASPECT = 2.5  # longer over shorter side: no face fills a longer strip, and it would need many boxes


@dataclass(frozen=True)
class Level:
    """One level of one photo's pyramid.

    Attributes:
        index: position in the list given to `frames_of`.
        photo: index of the photo on the canvas.
        scale: photo px -> level px.
        size: (height, width) of the level.
    """

    index: int
    photo: int
    scale: float
    size: tuple[int, int]


def face_sides(min_face: float, side: float) -> list[float]:
    """Sides of the faces that the levels of a pyramid search for: from `min_face` px to a photo's shorter side."""
    sides = [float(min_face)]
    while sides[-1] <= side:
        sides.append(sides[-1] / FACTOR)
    return sides[:-1]


def frame_boxes(height: int, width: int, margin: float) -> npt.NDArray[np.float32]:
    """Squares where a face that fills a photo can be, float32 (K, 4): 150 for a square photo, none for a long strip.

    Args:
        height, width: of the photo with its margin, px, to which the boxes refer.
        margin: on each side, in units of the photo's shorter side.
    """
    side = min(height, width) / (1 + 2 * margin)
    if max(height, width) - 2 * margin * side > _MAX_ASPECT * side:
        return np.zeros((0, 4), np.float32)
    low = (margin + _FRAME_BORDER) * side
    x, y = (np.arange(low, length - low + 1e-6 * side, _FRAME_STEP * side) for length in (width, height))
    half, y, x = np.meshgrid(np.array(_FRAME_SIDES) * side / 2, y, x, indexing="ij")
    return np.stack([x - half, y - half, x + half, y + half], -1).reshape(-1, 4).astype(np.float32)


def frames_of(canvas: Canvas, levels: list[tuple[int, float]], max_pixels: int) -> list[list[Level]]:
    """Group levels of similar size into frames: at most a quarter of a frame is padding.

    Args:
        canvas: the photos.
        levels: (photo, side in px of the faces to search for).
        max_pixels: px of a frame; a single larger level has a frame of its own.
    """
    ordered = []
    for index, (photo, face) in enumerate(levels):
        scale = CELL / face
        height, width = canvas.sizes[photo]
        ordered.append(Level(index, photo, scale, (int(height * scale + 1), int(width * scale + 1))))
    ordered.sort(key=lambda level: (level.size, level.index))
    frames: list[list[Level]] = []
    height = width = used = 0
    for level in ordered:
        area = level.size[0] * level.size[1]
        height, width, used = max(height, level.size[0]), max(width, level.size[1]), used + area
        count = len(frames[-1]) + 1 if frames else 1
        if not frames or count * height * width > min(1.34 * used, max(max_pixels, area)):
            frames.append([])
            (height, width), used = level.size, area
        frames[-1].append(level)
    return frames


def outside(sizes: Tensor, height: int, width: int) -> Tensor:
    """Heights and widths (G, 2) of the levels in a frame -> bool (G, 1, height, width), True outside each level."""
    rows = torch.arange(height, device=sizes.device)[None, :, None] >= sizes[:, 0, None, None]
    columns = torch.arange(width, device=sizes.device)[None, None, :] >= sizes[:, 1, None, None]
    return (rows | columns)[:, None]
