"""Signs of damage to a photo's coded data: block artefacts, torn blocks, areas that were never decoded.

Block artefacts and torn blocks are measured on the photo as decoded, where the coder's 8 px grid lies on whole pixels.
A photo that was resized after the damage shows it in `flat_fraction` at most.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.decode import Pixels
from curate.measure.region import CELL, face_ellipse

Floats = npt.NDArray[np.float32]

GRID = 8
"""Side of a JPEG block, px."""

FLAT_BLOCK = 2 * CELL
"""Side of the blocks of a crop that `flat_fraction` counts, px."""

TORN_STEP = 60.0
"""Levels, summed over the channels, by which the step at a torn edge exceeds the texture beside it."""

MIN_TORN_EDGES = 6
"""Fewer torn edges are no evidence: `corruption` is 0. Sharp undamaged thumbnails have up to five."""

MAX_SHARE = 0.4
"""Share of torn edges above which a line may be the border of a picture in a collage. A vertical line is one then: the
coder runs along rows. Damage begins within a row of blocks and continues in the next one, so that a horizontal line is
a border where it also reaches both sides and the lines beside it are whole."""

SIDE_SHARE, MIN_SIDE_SHARE, MIN_COLLAGE_EDGES = 1 / 6, 0.25, 16
"""Part of a line that is its side, share of torn edges there from which the line reaches the side, and edges of a line
below which a photo is too small to tell a horizontal border from damage."""

FLAT_LINE = 4.0
"""Mean absolute deviation from the median luma, levels, below which a line of pixels is flat: a border, not damage."""

CONFIDENCE_Z = 2.576
"""Standard normal quantile of `corruption`'s lower bound, one-sided 99.5%."""

MAX_FLAT_DEVIATION = 2.0
"""Levels by which the pixels of a flat row differ from its colour at most."""

BLACK, WHITE = 16, 239
"""Constant areas count between these levels only: black bars and white backgrounds are no damage."""


_SUM = np.tile(np.eye(3, dtype=np.float32), (GRID, 1))
"""Matrix (GRID * 3, 3) that sums the channels of GRID pixels."""


@dataclass(frozen=True)
class _Axis:
    """The lines of a photo along one axis.

    Attributes:
        pixels: uint8 (H, W, 3), a view with the lines as its first axis.
        luma: uint8 (H, W), C-contiguous, of `pixels`.
        horizontal: whether the lines are the photo's rows.
    """

    pixels: Pixels
    luma: npt.NDArray[np.uint8]
    horizontal: bool

    def sums(self, lines: npt.NDArray[np.intp]) -> npt.NDArray[np.int32]:
        """Sums along the edges of lines, 8 px each: int32 (L, W / 8, 3)."""
        width = self.pixels.shape[1] // GRID * GRID
        if self.horizontal:
            along = self.pixels[lines, :width].reshape(-1, 3 * GRID).astype(np.float32) @ _SUM
            return along.reshape(len(lines), -1, 3).astype(np.int32)
        # Blocks of rows are summed as they lie in memory, then the few columns are taken.
        rows = self.pixels.transpose(1, 0, 2)[:width].reshape(width // GRID, GRID, -1)
        summed = np.add.reduce(rows, axis=1, dtype=np.uint16).reshape(width // GRID, -1, 3)
        return np.asarray(summed[:, lines].transpose(1, 0, 2), np.int32)


def photo_damage(pixels: Pixels, luma: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Measure the damage of one photo.

    Args:
        pixels: uint8 (H, W, 3) RGB at the size of the file.
        luma: uint8 (H, W) of it.

    Returns:
        - `blockiness`: mean step in luma across the lines of the 8 px grid over the mean step across the lines of the
          grid shifted by half a block, minus 1, at least 0: about 0 for PNG and fine JPEG, 0.2 and more for JPEG of
          quality 20 and below.
        - `corruption`: lower confidence bound (`lower_bound`) of the share of the grid's 8 px edges that are torn (see
          `_torn_edges`), less those on the shifted grid, where no coder tears. Damaged JPEG data shifts brightness and
          colour of whole runs of blocks. 0 below MIN_TORN_EDGES torn edges.
        - `flat_rows`: see `flat_rows`.
    """
    transposed = np.asarray(cv2.transpose(luma), np.uint8)
    axes = [_Axis(pixels, luma, True), _Axis(pixels.transpose(1, 0, 2), transposed, False)]
    return {
        "blockiness": _blockiness([axis.luma for axis in axes]),
        "corruption": _corruption(axes),
        "flat_rows": flat_rows(pixels),
    }


def _corruption(axes: list[_Axis]) -> float:
    torn = _torn_edges(axes, GRID, MIN_TORN_EDGES)
    if torn < MIN_TORN_EDGES:
        return 0.0
    torn -= _torn_edges(axes, GRID + GRID // 2)
    edges = sum(len(_lines(axis.luma, GRID)) * (axis.luma.shape[1] // GRID) for axis in axes)
    return lower_bound(torn, edges) if torn >= MIN_TORN_EDGES else 0.0


def lower_bound(count: int, total: int) -> float:
    """Lower end of Wilson's score interval of a share `count / total`, 0-1; 0 where `total` is 0."""
    if not total:
        return 0.0
    z2 = CONFIDENCE_Z**2
    share = count / total
    margin = CONFIDENCE_Z * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return float((share + z2 / (2 * total) - margin) / (1 + z2 / total))


def _lines(image: npt.NDArray[np.uint8], start: int) -> npt.NDArray[np.intp]:
    """Rows that follow a line of the grid which begins at row `start`, and have two rows on either side."""
    return np.arange(start, image.shape[0] - 1, GRID)


def _blockiness(lumas: list[npt.NDArray[np.uint8]]) -> float:
    means = []
    for start in (GRID, GRID + GRID // 2):
        steps = [cv2.absdiff(luma[lines], luma[lines - 1]) for luma in lumas if len(lines := _lines(luma, start))]
        if not steps:
            return 0.0
        means.append(sum(float(step.sum()) for step in steps) / sum(step.size for step in steps))
    return max(0.0, means[0] / (means[1] + 0.1) - 1)


def _torn_edges(axes: list[_Axis], start: int, at_least: int = 1) -> int:
    """Count the 8 px edges across which the colour steps by TORN_STEP levels beyond the texture on either side.

    The step is the difference of the means along the edge; the texture twice the mean absolute difference of
    neighbouring rows, on the side where it is larger. Lines of which one side is flat along the whole photo are left
    out: that is where a border, a padding or a ground begins. So are borders of pictures (MAX_SHARE).

    Args:
        axes: both axes of the photo.
        start: first line of the grid.
        at_least: the count is 0 where there are fewer.
    """
    # Along one edge a torn step has one sign, so that means along it are compared first: few edges remain, mostly none.
    steps = [_steps(axis, start) for axis in axes]
    edges = [np.nonzero(step[..., 0] + step[..., 1] + step[..., 2] > TORN_STEP) for step in steps]
    if sum(len(line) for line, _ in edges) < at_least:
        return 0
    torn = [_torn_among(axis, start, step, edge) for axis, step, edge in zip(axes, steps, edges, strict=True)]
    if sum(int(flags.sum()) for flags in torn) < at_least:
        return 0
    return sum(_without_borders(axis, start, flags) for axis, flags in zip(axes, torn, strict=True))


def _steps(axis: _Axis, start: int) -> Floats:
    """Difference of the means along each edge, absolute, in whole levels: (lines, width / GRID, 3)."""
    lines, width = _lines(axis.luma, start), axis.luma.shape[1] // GRID
    if not len(lines) or not width:
        return np.zeros((len(lines), width, 3), np.float32)
    sums = axis.sums(np.concatenate([lines, lines - 1]))
    return np.asarray(np.rint(np.abs(sums[: len(lines)] - sums[len(lines) :]).astype(np.float32) / GRID), np.float32)


def _torn_among(
    axis: _Axis, start: int, steps: Floats, edges: tuple[npt.NDArray[np.intp], ...]
) -> npt.NDArray[np.bool_]:
    """Find the torn edges among those with a sufficient step: bool (lines, width / GRID)."""
    line, column = edges
    is_torn = np.zeros(steps.shape[:2], bool)
    around = _lines(axis.luma, start)[line][:, None, None] + np.array([-2, -1, 0, 1])[:, None]  # (edges, 4, 1)
    pixels = axis.pixels[around, column[:, None, None] * GRID + np.arange(GRID)].astype(np.int16)  # (edges, 4, 8, 3)
    texture = np.maximum(*(np.abs(pixels[:, k + 1] - pixels[:, k]).mean(1) for k in (0, 2)))
    excess = (steps[line, column] - 2 * texture).clip(0).sum(1)
    is_torn[line, column] = excess > TORN_STEP
    return is_torn


def _without_borders(axis: _Axis, start: int, is_torn: npt.NDArray[np.bool_]) -> int:
    """Count torn edges (lines, width / GRID), less those of borders and of lines beside a flat one."""
    lines, width = _lines(axis.luma, start), is_torn.shape[1]
    counts = is_torn.sum(1)
    is_border = counts > MAX_SHARE * width
    if axis.horizontal and width:
        side = max(1, round(SIDE_SHARE * width))
        is_border &= np.minimum(is_torn[:, :side].mean(1), is_torn[:, -side:].mean(1)) >= MIN_SIDE_SHARE
        # Two lines on either side: the coder's units are 8 or 16 px high.
        beside = np.convolve(counts, [1, 1, 0, 1, 1], "same") if len(counts) >= 5 else counts
        is_border &= (beside == 0) & (width >= MIN_COLLAGE_EDGES)
    torn_lines = np.flatnonzero(counts)
    is_left_out = is_border[torn_lines]
    for rows in (lines[torn_lines] - 1, lines[torn_lines]):
        levels = axis.luma[rows].astype(np.float32)
        is_left_out |= np.abs(levels - np.median(levels, axis=1, keepdims=True)).mean(1) < FLAT_LINE
    return int(counts[torn_lines][~is_left_out].sum())


def flat_rows(pixels: Pixels) -> float:
    """Return the share of the rows, counted from the bottom, that are one constant mid-tone.

    A decoder fills the rows after the end of the data so. 0 where the first row has that colour too, and the photo
    another one between them. `pixels`: uint8 (H, W, 3).
    """
    height = pixels.shape[0]
    colour = np.asarray(cv2.mean(pixels[-1:])[:3])
    if colour.max() < BLACK or colour.min() > WHITE:
        return 0.0
    for count in range(height):
        if np.abs(pixels[height - 1 - count].astype(np.int16) - colour).max() > MAX_FLAT_DEVIATION:
            # The same colour along the top is a ground or a letterbox.
            is_ground = np.abs(pixels[0].astype(np.int16) - colour).max() <= MAX_FLAT_DEVIATION
            return 0.0 if is_ground else float(count / height)
    return 1.0


def flat_fraction(crops: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Measure the share of the face that is constant: `flat_fraction`, float32 (N,).

    Counted in blocks of 8 x 8 px inside the face's ellipse that are constant within 1 level in every channel, neither
    black nor white. Real skin hardly ever is; undecoded areas and filled rectangles are.

    Args:
        crops: uint8 (N, 3, H, W).
        points: (N, 5, 2), landmarks in crop px.
    """
    count, _, height, width = crops.shape
    # Rows of blocks first, whole lines at a time; crops are channels last in memory.
    rows = crops.permute(0, 2, 3, 1).reshape(count, height // FLAT_BLOCK, FLAT_BLOCK, width * 3)
    shape = (count, height // FLAT_BLOCK, width // FLAT_BLOCK, FLAT_BLOCK, 3)
    low, high = rows.amin(2).reshape(shape), rows.amax(2).reshape(shape)
    for half in (FLAT_BLOCK // 2, FLAT_BLOCK // 4, FLAT_BLOCK // 8):  # faster than a reduction over few columns
        low = torch.minimum(low[:, :, :, :half], low[:, :, :, half:])
        high = torch.maximum(high[:, :, :, :half], high[:, :, :, half:])
    low, high = low[:, :, :, 0], high[:, :, :, 0]  # (N, H / 8, W / 8, 3)
    constant = (high - low <= 1).all(3) & (high.amax(3) > BLACK) & (low.amin(3) < WHITE)
    inside = face_ellipse(points, crops.shape[2:])[:, 1::2, 1::2]
    share = (constant & inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    return {"flat_fraction": share.float()}
