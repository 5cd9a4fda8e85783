"""The part of a picture that carries a mark, found by correlation with the pattern of its ID."""

from dataclasses import dataclass

import cv2
import numpy as np

from train.marks.watermark.grid import Floats, detail
from train.marks.watermark.placement import Placement
from train.marks.watermark.search_grid import SearchGrid, lay_pattern

_BLOCK = 10  # cells
_MIN_SHARE = 0.3
"""A block is marked where its correlation, averaged with its neighbours', has this share of the well marked blocks'."""

_WELL_MARKED = 98  # percentile of the blocks; a pasted picture may fill a tenth of them


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture, in pixels: `left` and `top` inclusive, `right` and `bottom` exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def marked_region(search: SearchGrid, placement: Placement, pattern: Floats) -> Region:
    """The rectangle around the largest marked part of a picture.

    Its borders are accurate to about a block, 1/32 of the side of the picture. pattern: the tile of the ID that was
    read, float32 (256, 256).
    """
    rows, columns = search.detail.shape
    product = search.detail * detail(lay_pattern(search, placement, pattern))
    blocks = max(1, round(rows / _BLOCK)), max(1, round(columns / _BLOCK))
    correlation = cv2.resize(product, (blocks[1], blocks[0]), interpolation=cv2.INTER_AREA)
    correlation = cv2.blur(correlation, (3, 3), borderType=cv2.BORDER_REFLECT)
    marked = (correlation > _MIN_SHARE * np.percentile(correlation, _WELL_MARKED)).astype(np.uint8)
    count, _, statistics, _ = cv2.connectedComponentsWithStats(marked, connectivity=4)
    if count < 2:
        return Region(0, 0, search.width, search.height)
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    left, top, width, height = (int(value) for value in statistics[largest, :4])
    across, down = search.width / blocks[1], search.height / blocks[0]
    return Region(round(left * across), round(top * down), round((left + width) * across), round((top + height) * down))
