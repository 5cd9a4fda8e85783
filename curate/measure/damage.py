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

TORN_STEP = 75.0
"""Levels, summed over the channels, by which the step at a torn edge exceeds the texture beside it."""

BLACK, WHITE = 16, 239
"""Constant areas count between these levels only: black bars and white backgrounds are no damage."""


def photo_damage(pixels: Pixels) -> dict[str, float]:
    """Measure the damage of one photo.

    Args:
        pixels: uint8 (H, W, 3) RGB at the size of the file.

    Returns:
        - `blockiness`: mean step across the lines of the 8 px grid over the mean step elsewhere, minus 1, at least 0:
          about 0 for PNG and fine JPEG, 0.2 and more for JPEG of quality 20 and below.
        - `corruption`: share of the grid's 8 px edges that are torn (a step in colour of TORN_STEP levels beyond the
          texture on either side) minus that share on the grid shifted by half a block, where no coder tears; at least
          0. Damaged JPEG data shifts brightness and colour of whole runs of blocks.
        - `flat_rows`: see `flat_rows`.
    """
    rows, columns = _grid_steps(pixels, 0), _grid_steps(pixels, 1)
    on, off, torn_on, torn_off = (
        np.concatenate([by_row.ravel(), by_column.ravel()]) for by_row, by_column in zip(rows, columns, strict=True)
    )
    if not on.size or not off.size:
        return {"blockiness": 0.0, "corruption": 0.0, "flat_rows": flat_rows(pixels)}
    blockiness = float(on.mean()) / (float(off.mean()) + 0.1) - 1
    corruption = float((torn_on > TORN_STEP).mean() - (torn_off > TORN_STEP).mean())
    return {
        "blockiness": max(0.0, blockiness),
        "corruption": max(0.0, corruption),
        "flat_rows": flat_rows(pixels),
    }


def _grid_steps(pixels: Pixels, axis: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Measure steps along `axis` across the lines of the 8 px grid and of the grid shifted by half a block.

    Returns:
        The mean absolute step of each 8 px edge, in levels, on the grid and on the shifted grid; then, likewise, by
        how much the step exceeds twice the larger of the steps just before and just after it, summed over the
        channels. Empty arrays where the photo is smaller than two blocks.
    """
    image = pixels if axis == 0 else pixels.transpose(1, 0, 2)
    length, width = image.shape[0], image.shape[1] // GRID
    steps, excesses = [], []
    for start in (GRID, GRID + GRID // 2):
        lines = np.arange(start, length - 1, GRID)
        if not len(lines) or not width:
            empty = np.zeros(0, np.float32)
            return empty, empty, empty, empty
        two_before, before, after, two_after = (
            image[lines + k, : width * GRID].astype(np.float32) for k in (-2, -1, 0, 1)
        )
        size = (width, len(lines))

        def per_edge(values: Floats, size: tuple[int, int] = size) -> Floats:
            return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)

        step = after - before
        steps.append(per_edge(np.abs(step)).mean(2))
        # Along one edge a torn step has one sign; texture on either side may have both.
        texture = np.maximum(per_edge(np.abs(before - two_before)), per_edge(np.abs(two_after - after)))
        excesses.append((np.abs(per_edge(step)) - 2 * texture).clip(0).sum(2))
    return steps[0], steps[1], excesses[0], excesses[1]


def flat_rows(pixels: Pixels) -> float:
    """Return the share of the rows, counted from the bottom, that are one constant mid-tone.

    A decoder fills the rows after the end of the data so. `pixels`: uint8 (H, W, 3).
    """
    height = pixels.shape[0]
    colour = pixels[-1].mean(0)
    if colour.max() < BLACK or colour.min() > WHITE:
        return 0.0
    for count in range(height):
        if np.abs(pixels[height - 1 - count].astype(np.int16) - colour).max() > 2:
            return float(count / height)
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
