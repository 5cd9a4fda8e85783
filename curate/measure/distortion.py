"""Photos, crops or landmarks in, signs of damage out: block artefacts, half-decoded pictures, stretched faces.

Damage to the coded bytes is looked for in the photo as decoded, where the coder's 8 px grid still lies on whole
pixels; a photo that was resized after the damage shows it in `flat_fraction` at most.
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.measure.region import face_ellipse

Pixels = npt.NDArray[np.uint8]

GRID = 8
BLOCK = 8
CORRUPT_JUMP = 75.0
"""Levels, summed over the channels, that a block's edge must leap above its own texture to count as torn."""

STRETCH_FIT = (-0.0165, 1.0583, 0.1308, -0.1902, -1.4197, -1.2717, -0.4721, -0.3044)
"""log(eye-mouth distance / eye distance) of natural faces as a linear function of `_invariants`; a robust fit to 1,250
landmark sets of three collections by MTCNN."""

STRETCH_SPREAD = 0.061
"""Robust standard deviation, in log, of natural faces about that fit."""

MAX_STRETCH_ERROR = 0.15


def photo_distortion(photo: Pixels) -> dict[str, float]:
    """Photo uint8 (H, W, 3) RGB at its own size -> `blockiness`, `corruption`, `flat_rows`.

    - `blockiness`: mean step across the lines of the 8 px grid over the mean step elsewhere, minus 1, at least 0:
      about 0 for PNG and fine JPEG, 0.2 and more for JPEG of quality 20 and below.
    - `corruption`: share of the grid's 8 px edges that are torn (a leap of CORRUPT_JUMP in colour that neither side's
      texture explains) beyond the share on the grid shifted by half, where no coder tears. Damaged JPEG data shifts
      brightness and colour of whole runs of blocks.
    - `flat_rows`: share of the photo's height at the bottom that is one constant colour from side to side, neither
      black nor white: what a decoder leaves where the data ended.
    """
    rows, columns = _steps(photo, 0), _steps(photo, 1)
    on = np.concatenate([part[0].ravel() for part in (rows, columns)])
    off = np.concatenate([part[1].ravel() for part in (rows, columns)])
    torn_on = np.concatenate([part[2].ravel() for part in (rows, columns)])
    torn_off = np.concatenate([part[3].ravel() for part in (rows, columns)])
    if not on.size or not off.size:
        return {"blockiness": 0.0, "corruption": 0.0, "flat_rows": flat_rows(photo)}
    blockiness = float(on.mean()) / (float(off.mean()) + 0.1) - 1
    corruption = float((torn_on > CORRUPT_JUMP).mean() - (torn_off > CORRUPT_JUMP).mean())
    return {
        "blockiness": max(0.0, blockiness),
        "corruption": max(0.0, corruption),
        "flat_rows": flat_rows(photo),
    }


def _steps(photo: Pixels, axis: int) -> tuple[npt.NDArray[np.float32], ...]:
    """Steps across lines of the grid and of the grid shifted by half, along `axis`.

    Returns, for the grid and for the shifted one, the mean absolute luma-like step per 8 px edge; then, likewise, how
    far the mean step exceeds the larger of the steps just before and just after it, summed over the channels.
    """
    image = photo if axis == 0 else photo.transpose(1, 0, 2)
    length, width = image.shape[0], image.shape[1] // GRID
    plain, torn = [], []
    for start in (GRID, GRID + GRID // 2):
        at = np.arange(start, length - 1, GRID)
        if not len(at) or not width:
            return tuple(np.zeros(0, np.float32) for _ in range(4))
        two_before, before, after, two_after = (
            image[at + k, : width * GRID].astype(np.float32) for k in (-2, -1, 0, 1)
        )
        size = (width, len(at))

        def per_edge(values: npt.NDArray[np.float32], size: tuple[int, int] = size) -> npt.NDArray[np.float32]:
            return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)

        step = after - before
        plain.append(per_edge(np.abs(step)).mean(2))
        # Along one edge the leap has one sign; texture on either side may have both.
        texture = np.maximum(per_edge(np.abs(before - two_before)), per_edge(np.abs(two_after - after)))
        torn.append((np.abs(per_edge(step)) - 2 * texture).clip(0).sum(2))
    return plain[0], plain[1], torn[0], torn[1]


def flat_rows(photo: Pixels) -> float:
    """Photo uint8 (H, W, 3) -> share of its rows, counted from the bottom, that are one constant mid-tone."""
    height = photo.shape[0]
    colour = photo[-1].mean(0)
    if colour.max() < 16 or colour.min() > 239:
        return 0.0
    for count in range(height):
        if np.abs(photo[height - 1 - count].astype(np.int16) - colour).max() > 2:
            return float(count / height)
    return 1.0


def flat_fraction(crops: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Crops uint8 (N, 3, H, W), points (N, 5, 2) in crop px -> `flat_fraction`, float32 (N,).

    Share of the face's ellipse, in blocks of 8 x 8 px, that is constant within 1 level in every channel and neither
    black nor white: real skin hardly ever is, undecoded areas and filled rectangles are.
    """
    count, _, height, width = crops.shape
    blocks = crops.reshape(count, 3, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    low, high = blocks.amin(3).amin(4), blocks.amax(3).amax(4)  # (N, 3, H / 8, W / 8)
    constant = (high - low <= 1).all(1) & (high.amax(1) > 16) & (low.amin(1) < 239)
    inside = face_ellipse(points, crops.shape[2:])[:, 1::2, 1::2]
    share = (constant & inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    return {"flat_fraction": share.float()}


def stretch(points: Tensor) -> dict[str, Tensor]:
    """Points (N, 5, 2) in px of the *photo* -> `stretch` and `stretch_error`, float32 (N,).

    `stretch` is how much taller than wide the photo was made: 1 natural, 1.35 stretched vertically, 0.74 squashed.
    `stretch_error` is its standard deviation in log units, 0.06 for an upright head: one face in three is off by
    more. Between 0.8 and 1.25 a stretch cannot be told from a long or a wide face. Both are NaN for heads turned
    or tilted so far that the two directions cannot be told apart (error above MAX_STRETCH_ERROR).

    A stretch keeps ratios along a line. From three such (how far the nose is off the middle, how far down, how wide
    the mouth is) follows the ratio r of eye-mouth to eye distance that a natural face in that pose would have, and
    the k that restores it satisfies dx^2 + dy^2 / k^2 = r^2 (ex^2 + ey^2 / k^2).
    """
    points = points.double()
    left, right, _, mouth_left, mouth_right = points.unbind(1)
    e = right - left
    d = (mouth_left + mouth_right - left - right) / 2
    fit = torch.tensor(STRETCH_FIT, dtype=torch.float64, device=points.device)
    natural = torch.exp(2 * (_invariants(points) @ fit))  # r^2
    above = d[:, 1] ** 2 - natural * e[:, 1] ** 2
    below = natural * e[:, 0] ** 2 - d[:, 0] ** 2
    # d(log k) / d(log r)
    sensitivity = natural * (e[:, 1] ** 2 / above + e[:, 0] ** 2 / below)
    error = STRETCH_SPREAD * sensitivity
    known = (above > 0) & (below > 0) & (error < MAX_STRETCH_ERROR)
    factor = torch.where(known, above / below, torch.nan).sqrt()
    return {"stretch": factor.float(), "stretch_error": torch.where(known, error, torch.nan).float()}


def _invariants(points: Tensor) -> Tensor:
    """Points float64 (N, 5, 2) -> (N, 8): functions of what no stretch along any direction changes."""
    left, right, nose, mouth_left, mouth_right = points.unbind(1)
    middle = (left + right) / 2
    axes = torch.stack((right - left, (mouth_left + mouth_right) / 2 - middle), 2)  # columns e, d
    targets = torch.stack((nose - middle, mouth_right - mouth_left), 2)
    coordinates = torch.linalg.solve_ex(axes, targets).result
    aside = coordinates[:, 0, 0].abs().clamp(max=0.8)
    down = coordinates[:, 1, 0].clamp(0.2, 0.9) - 0.55
    mouth = coordinates[:, 0, 1].clamp(0.3, 3.0).log()
    one = torch.ones_like(aside)
    return torch.stack(
        (one, aside**2, aside, down, down**2, aside**2 * down, mouth, aside**4),
        1,
    )
