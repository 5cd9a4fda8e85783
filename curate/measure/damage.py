"""Signs of damage to a photo's coded data: block artefacts, torn blocks, areas that were never decoded.

Block artefacts and torn blocks are measured on the photo as decoded, where the coder's 8 px grid lies on whole pixels.
A photo that was resized after the damage shows it in `flat_fraction` at most.
"""

import cv2
import numpy as np
import numpy.typing as npt
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


def photo_damage(pixels: Pixels) -> dict[str, float]:
    """Measure the damage of one photo.

    Args:
        pixels: uint8 (H, W, 3) RGB at the size of the file.

    Returns:
        - `blockiness`: mean step in luma across the lines of the 8 px grid over the mean step across the lines of the
          grid shifted by half a block, minus 1, at least 0: about 0 for PNG and fine JPEG, 0.2 and more for JPEG of
          quality 20 and below.
        - `corruption`: lower confidence bound (`lower_bound`) of the share of the grid's 8 px edges that are torn (see
          `_torn_edges`), less those on the shifted grid, where no coder tears. Damaged JPEG data shifts brightness and
          colour of whole runs of blocks. 0 below MIN_TORN_EDGES torn edges.
        - `flat_rows`: see `flat_rows`.
    """
    luma = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    # Lines of the grid are rows; once for each axis.
    axes = [(pixels, luma, True), (_transposed(pixels), _transposed(luma), False)]
    return {
        "blockiness": _blockiness([luma for _, luma, _ in axes]),
        "corruption": _corruption(axes),
        "flat_rows": flat_rows(pixels),
    }


def _corruption(axes: list[tuple[Pixels, npt.NDArray[np.uint8], bool]]) -> float:
    torn = sum(_torn_edges(*axis, GRID) for axis in axes)
    if torn < MIN_TORN_EDGES:
        return 0.0
    torn -= sum(_torn_edges(*axis, GRID + GRID // 2) for axis in axes)
    edges = sum(len(_lines(image, GRID)) * (image.shape[1] // GRID) for image, _, _ in axes)
    return lower_bound(torn, edges) if torn >= MIN_TORN_EDGES else 0.0


def lower_bound(count: int, total: int) -> float:
    """Lower end of Wilson's score interval of a share `count / total`, 0-1; 0 where `total` is 0."""
    if not total:
        return 0.0
    z2 = CONFIDENCE_Z**2
    share = count / total
    margin = CONFIDENCE_Z * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return float((share + z2 / (2 * total) - margin) / (1 + z2 / total))


def _transposed(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.transpose(image), np.uint8)


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


def _torn_edges(image: npt.NDArray[np.uint8], luma: npt.NDArray[np.uint8], horizontal: bool, start: int) -> int:
    """Count the 8 px edges across which the colour steps by TORN_STEP levels beyond the texture on either side.

    The step is the difference of the means along the edge; the texture twice the mean absolute difference of
    neighbouring rows, on the side where it is larger. Lines of which one side is flat along the whole photo are left
    out: that is where a border, a padding or a ground begins. So are borders of pictures (MAX_SHARE).

    Args:
        image: uint8 (H, W, 3), transposed for the vertical lines.
        luma: uint8 (H, W) of it.
        horizontal: whether the image's rows are the photo's.
        start: first row of the grid.
    """
    lines, width = _lines(image, start), image.shape[1] // GRID
    if not len(lines) or not width:
        return 0
    # Along one edge a torn step has one sign, so that means along it are compared first: few edges remain.
    steps = cv2.subtract(image[lines, : width * GRID], image[lines - 1, : width * GRID], dtype=cv2.CV_16S)
    steps = np.abs(cv2.resize(steps, (width, len(lines)), interpolation=cv2.INTER_AREA))  # (lines, width, 3)
    line, column = np.nonzero(steps[..., 0] + steps[..., 1] + steps[..., 2] > TORN_STEP)
    if not len(line):
        return 0
    around = lines[line][:, None, None] + np.array([-2, -1, 0, 1])[:, None]  # (edges, 4, 1)
    pixels = image[around, column[:, None, None] * GRID + np.arange(GRID)].astype(np.int16)  # (edges, 4, 8, 3)
    texture = np.maximum(*(np.abs(pixels[:, k + 1] - pixels[:, k]).mean(1) for k in (0, 2)))
    excess = (steps[line, column] - 2 * texture).clip(0).sum(1)
    is_torn = np.zeros((len(lines), width), bool)
    is_torn[line, column] = excess > TORN_STEP
    counts = is_torn.sum(1)
    is_border = counts > MAX_SHARE * width
    if horizontal:
        side = max(1, round(SIDE_SHARE * width))
        is_border &= np.minimum(is_torn[:, :side].mean(1), is_torn[:, -side:].mean(1)) >= MIN_SIDE_SHARE
        # Two lines on either side: the coder's units are 8 or 16 px high.
        beside = np.convolve(counts, [1, 1, 0, 1, 1], "same") if len(counts) >= 5 else counts
        is_border &= (beside == 0) & (width >= MIN_COLLAGE_EDGES)
    torn_lines = np.flatnonzero(counts)
    is_left_out = is_border[torn_lines]
    for rows in (lines[torn_lines] - 1, lines[torn_lines]):
        levels = luma[rows].astype(np.float32)
        is_left_out |= np.abs(levels - np.median(levels, axis=1, keepdims=True)).mean(1) < FLAT_LINE
    return int(counts[torn_lines][~is_left_out].sum())


def flat_rows(pixels: Pixels) -> float:
    """Return the share of the rows, counted from the bottom, that are one constant mid-tone.

    A decoder fills the rows after the end of the data so. 0 where the first row has that colour too, and the photo
    another one between them. `pixels`: uint8 (H, W, 3).
    """
    height = pixels.shape[0]
    colour = pixels[-1].mean(0)
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
    blocks = crops.reshape(count, 3, height // FLAT_BLOCK, FLAT_BLOCK, width // FLAT_BLOCK, FLAT_BLOCK)
    low, high = blocks.amin(3).amin(4), blocks.amax(3).amax(4)  # (N, 3, H / 8, W / 8)
    constant = (high - low <= 1).all(1) & (high.amax(1) > BLACK) & (low.amin(1) < WHITE)
    inside = face_ellipse(points, crops.shape[2:])[:, 1::2, 1::2]
    share = (constant & inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    return {"flat_fraction": share.float()}
