"""Coarse detail of two faces compared, before they are registered onto each other: most pairs end here.

First the bands as a whole at a few shifts, then their parts: in another photo of the person the expression, the light
or the turn of the head differs, and parts of the face are not found near their places.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.float32]
Flags = npt.NDArray[np.uint8]
Range = tuple[int, int]

SIDE = 56
_FINE, _COARSE = 0.7, 3.0
"""Side of a band, px, and the standard deviations of the Gaussians whose difference it is, px."""

_SHIFT, _MIN_CORRELATION = 5, 0.5
"""Shifts that are tried, px, and correlation below which two bands are of different pictures. The lowest of 55 copies
in celebs-112 was .59; a quarter of the other pairs, and 60% of them mirrored, are below."""

_EDGE, _MIN_SIDE, _MIN_SHARE = 3, 16, 0.3
"""Px of a band beside the end of the photo that are left out, the fewest that are compared along a side, and the share
of an area that must be left."""

_BLACK, _EXTENT = 6, 5
"""Luma below which a pixel is black, and the least side of a black part beyond the photo, px of a band."""

_BLOCKS, _BLOCK_SHIFT, _MIN_BLOCK, _MAX_DISTURBED = 3, 3, 0.7, 2
"""Blocks of a band along each side, px by which each may lie elsewhere than the band as a whole, its least correlation,
and the number of blocks that may have less. Of 518 copies in celebs-112 the third lowest block had .87 and more; half
of the other pairs that reach this test have less than .7."""

_MIN_BLOCK_SIDE, _FLAT_BLOCK, _MIN_UNDISTURBED = 10, 3.0, 0.8
"""Blocks that are not compared: smaller ones, px; those of a lower standard deviation, levels; and those of which a
smaller share lies away from the end of the photo in both crops."""


@dataclass(frozen=True)
class DetailBand:
    """Detail of an aligned crop at a coarse scale.

    Attributes:
        pixels: float32 (SIDE, SIDE), a difference of Gaussians.
        undisturbed: uint8 (SIDE, SIDE), 1 away from the end of the photo, else 0.
        shown: ranges of rows and of columns in which the photo is shown, without what its end disturbs.
        area: number of pixels of the crop that show the photo.
    """

    pixels: Gray
    undisturbed: Flags
    shown: tuple[Range, Range]
    area: int

    @classmethod
    def of(cls, gray: Gray, valid: Flags) -> "DetailBand":
        """Filter a crop, float32 (2 SIDE, 2 SIDE), that shows the photo where `valid`, of the same shape, is 1."""
        small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        pixels = cv2.subtract(cv2.GaussianBlur(small, (0, 0), _FINE), cv2.GaussianBlur(small, (0, 0), _COARSE))
        # Beyond the photo large parts are black; single black pixels are of hair.
        beyond = cv2.morphologyEx((small < _BLACK).astype(np.uint8), cv2.MORPH_OPEN, np.ones((_EXTENT, _EXTENT)))
        undisturbed = 1 - cv2.dilate(beyond, np.ones((2 * _EDGE + 1, 2 * _EDGE + 1)))
        shown = _shown(valid, 1), _shown(valid, 0)
        return cls(np.asarray(pixels, np.float32), np.asarray(undisturbed, np.uint8), shown, cv2.countNonZero(valid))

    def mirrored(self) -> "DetailBand":
        """Return the band of the mirrored crop."""
        rows, (first, end) = self.shown
        pixels, undisturbed = (
            np.ascontiguousarray(self.pixels[:, ::-1]),
            np.ascontiguousarray(self.undisturbed[:, ::-1]),
        )
        return DetailBand(pixels, undisturbed, (rows, (SIDE - end, SIDE - first)), self.area)


def bands_agree(first: DetailBand, second: DetailBand) -> bool:
    """Whether two crops may show one picture."""
    # The one that shows less: what the other one has around it, such as a border, is left out.
    less, more = sorted((first, second), key=lambda band: band.area)
    (top, bottom), (left, right) = less.shown
    searched = more.pixels[top - _SHIFT : bottom + _SHIFT, left - _SHIFT : right + _SHIFT]
    correlation = _correlations(searched, less.pixels[top:bottom, left:right], less.undisturbed[top:bottom, left:right])
    _, highest, _, (x, y) = cv2.minMaxLoc(correlation)
    return highest >= _MIN_CORRELATION and _blocks_agree(less, more, y - _SHIFT, x - _SHIFT)


def _correlations(searched: Gray, template: Gray, undisturbed: Flags) -> Gray:
    """Correlation of a band with another one at every shift, away from the end of its photo.

    The photo of a tilted head is a tilted rectangle in the crop, beside which the other photo may show its border.
    """
    if undisturbed.all() or cv2.countNonZero(undisturbed) < _MIN_SHARE * undisturbed.size:
        return np.asarray(cv2.matchTemplate(searched, template, cv2.TM_CCOEFF_NORMED), np.float32)
    mask = undisturbed.astype(np.float32)
    correlations = cv2.matchTemplate(searched, template, cv2.TM_CCOEFF_NORMED, mask=mask)
    return np.nan_to_num(np.asarray(correlations, np.float32), nan=-1.0, posinf=-1.0, neginf=-1.0)


def _blocks_agree(less: DetailBand, more: DetailBand, down: int, right: int) -> bool:
    """Whether the blocks of a band, all but _MAX_DISTURBED, are near their places in another band that is shifted."""
    height, width = ((end - first) // _BLOCKS for first, end in less.shown)
    if min(height, width) < _MIN_BLOCK_SIDE:
        return True
    disturbed, least = 0, _MIN_UNDISTURBED * height * width
    for row, column in np.ndindex(_BLOCKS, _BLOCKS):
        y, x = less.shown[0][0] + row * height, less.shown[1][0] + column * width
        own, there = _window(y, x, height, width), _window(y + down, x + right, height, width)
        if min(cv2.countNonZero(less.undisturbed[own]), cv2.countNonZero(more.undisturbed[there])) < least:
            continue
        block = less.pixels[own]
        if cv2.meanStdDev(block)[1][0, 0] < _FLAT_BLOCK:
            continue
        searched = more.pixels[_window(y + down, x + right, height, width, _BLOCK_SHIFT)]
        if cv2.minMaxLoc(_correlations(searched, block, less.undisturbed[own]))[1] < _MIN_BLOCK:
            disturbed += 1
            if disturbed > _MAX_DISTURBED:
                return False
    return True


def _window(y: int, x: int, height: int, width: int, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of a block and a margin around it, within a band."""
    return slice(max(y - margin, 0), y + height + margin), slice(max(x - margin, 0), x + width + margin)


def _shown(valid: Flags, axis: int) -> Range:
    """Range of rows (1) or of columns (0) of a band in which the photo is shown."""
    shown = np.flatnonzero(valid.any(axis)) * SIDE // valid.shape[1 - axis]
    first, last = (int(shown[0]), int(shown[-1])) if len(shown) else (0, SIDE - 1)
    low, high = max(_SHIFT, first + _EDGE), min(SIDE - _SHIFT, last + 1 - _EDGE)
    return (low, high) if high - low >= _MIN_SIDE else (_SHIFT, SIDE - _SHIFT)
