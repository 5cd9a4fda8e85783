"""Warps of photos and label maps: similarity transforms, turned heads, and photos that end within the crop.

A warp is a map from the pixels of the crop to positions in the photo, so that photo and label map are sampled once.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from train.perception.occluders import FaceFrame

Images = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.float32]
Rng = np.random.Generator

FILLS = ("black", "colour", "replicate", "reflect", "blur", "noise")
_FILL_SHARES = (0.5, 0.14, 0.14, 0.1, 0.06, 0.06)
_TURN_GRID = 64  # rows and columns on which a turned head is computed


class Rectangle(NamedTuple):
    """Part of the photo that is shown, in px of the photo."""

    left: float
    top: float
    right: float
    bottom: float


def similarity(size: int, side: int, tight: bool, rng: Rng) -> Positions:
    """Positions in a photo of `side` px for the pixels of a crop of `size` px: float32 (size, size, 2).

    Args:
        tight: whether the crop has the framing of arcface-112; otherwise that of the photo.
    """
    zoom = rng.uniform(1.1, 1.9) if tight else rng.uniform(0.75, 1.25)
    angle = rng.uniform(*rng.choice([(-0.25, 0.25), (-0.6, 0.6), (-1.3, 1.3)], p=(0.65, 0.25, 0.1)))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    stretch = rng.uniform(0.9, 1.1)
    shift = rng.uniform(-0.07, 0.07), rng.uniform(0.0, 0.125) if tight else rng.uniform(-0.06, 0.075)
    line = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x, y = np.meshgrid(line * (stretch * mirror), line / stretch)
    cos, sin = np.cos(angle), np.sin(angle)
    positions = np.stack([cos * x - sin * y, sin * x + cos * y], 2) / zoom + np.array(shift) + 0.5
    return np.asarray(positions * side - 0.5, np.float32)


def is_mirrored(positions: Positions) -> bool:
    """Whether the map of a similarity transform reverses left and right."""
    right, down = positions[0, -1] - positions[0, 0], positions[-1, 0] - positions[0, 0]
    return bool(right[0] * down[1] - right[1] * down[0] < 0)


def turned(frame: FaceFrame, side: int, degrees: float) -> Positions:
    """Positions in the photo for the pixels of the photo with the head turned about its vertical axis.

    The head is an elliptic cylinder with a nose. Rotating a point at depth z by psi moves it to
    x' = x cos(psi) + z sin(psi); where two points meet, the one on the nearer surface is visible.

    Args:
        frame: of the face.
        side: of the photo, px.
        degrees: psi, 0 to 60; the head turns towards the image's right.

    Returns:
        float32 (side, side, 2).
    """
    psi = np.radians(degrees)
    line = (np.arange(_TURN_GRID) + 0.5) * side / _TURN_GRID - 0.5
    x, y = line[None, :], line[:, None]
    radius = 0.62 * frame.width
    upright = np.sqrt(np.clip(1 - ((y - (frame.eyes_y + frame.mouth_y) / 2) / (1.3 * frame.height)) ** 2, 0, 1))
    depth = radius * np.sqrt(np.clip(1 - ((x - frame.x) / radius) ** 2, 0, 1)) * upright
    nose_y = frame.eyes_y + 0.62 * (frame.mouth_y - frame.eyes_y)
    ridge = np.exp(-(((x - frame.x) / (0.1 * frame.width)) ** 2))
    ridge = ridge * np.clip(1 - np.abs(y - nose_y) / (0.75 * (frame.mouth_y - frame.eyes_y)), 0, 1)
    depth = depth + 0.24 * frame.width * ridge
    moved = (x - frame.x) * np.cos(psi) + depth * np.sin(psi) + frame.x - 0.6 * radius * np.sin(psi)
    moved = np.maximum.accumulate(moved, 1) + 1e-6 * np.arange(_TURN_GRID)  # what is hidden keeps the nearer position
    # Where the turned photo does not reach, positions lie outside it.
    source = np.stack([np.interp(line, row, line, left=-side, right=2 * side) for row in moved]).astype(np.float32)
    return _full(np.stack([source, np.broadcast_to(y, source.shape).astype(np.float32)], 2), side)


def compose(first: Positions, second: Positions) -> Positions:
    """Positions of `second` at the positions of `first`: the warp `second`, then the warp `first`."""
    x, y = first[..., 0], first[..., 1]
    far = (-1e4, -1e4)  # beyond any photo
    positions = cv2.remap(second, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=far)
    return np.asarray(positions, np.float32)


def random_rectangle(frame: FaceFrame, side: int, rng: Rng) -> Rectangle:
    """A part of the photo that ends near the face or cuts it on one or two sides, seldom on all."""
    rectangle = [0.0, 0.0, float(side), float(side)]
    lengths = frame.width, frame.height, frame.width, frame.height
    edges = frame.left, frame.top, frame.right, frame.bottom
    count = rng.choice([1, 2, 4], p=(0.55, 0.3, 0.15))
    for edge in rng.permutation(4)[:count]:
        # Positive: into the face.
        into = rng.uniform(-0.35, 0.35 if count < 4 else 0.05) * lengths[edge]
        cut = edges[edge] + into if edge < 2 else edges[edge] - into
        rectangle[edge] = float(np.clip(cut, 0, side))
    return Rectangle(*rectangle)


def sample(image: Images, positions: Positions, shown: Rectangle, rng: Rng) -> tuple[Images, npt.NDArray[np.bool_]]:
    """Sample a photo; outside the shown part there is a border of a random kind (`FILLS`).

    Returns:
        Crop uint8 (S, S, 3), and where it shows the photo, bool (S, S).
    """
    x, y = positions[..., 0], positions[..., 1]
    shows = inside(positions, shown)
    fill = str(rng.choice(FILLS, p=_FILL_SHARES))
    if fill in ("replicate", "reflect") and not shows.all():
        x, y = _folded(x, shown.left, shown.right, fill), _folded(y, shown.top, shown.bottom, fill)
    crop = np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    if shows.all() or fill in ("replicate", "reflect"):
        return crop, shows
    if fill == "black":
        border = np.zeros_like(crop)
    elif fill == "colour":
        border = np.empty_like(crop)
        border[:] = 255 if rng.random() < 0.4 else rng.integers(0, 256, 3)
    elif fill == "noise":
        border = rng.integers(0, 256, crop.shape, np.uint8)
    else:
        small = cv2.resize(image, (12, 12), interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small, (0, 0), 1)
        border = np.asarray(cv2.resize(soft, crop.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    return np.asarray(np.where(shows[..., None], crop, border), np.uint8), shows


def inside(positions: Positions, shown: Rectangle) -> npt.NDArray[np.bool_]:
    """Where positions (..., 2) lie in a part of the photo."""
    x, y = positions[..., 0], positions[..., 1]
    return np.asarray(
        (x >= shown.left - 0.5) & (x <= shown.right - 0.5) & (y >= shown.top - 0.5) & (y <= shown.bottom - 0.5)
    )


def _folded(values: Positions, low: float, high: float, fill: str) -> Positions:
    """Clamp coordinates to a range, or reflect them at its ends."""
    high = max(high - 1, low + 1)
    if fill == "replicate":
        return np.asarray(np.clip(values, low, high), np.float32)
    span = high - low
    return np.asarray(low + span - np.abs((values - low) % (2 * span) - span), np.float32)


def _full(coarse: Positions, side: int) -> Positions:
    """Positions on the coarse grid -> positions for each pixel of a photo of `side` px."""
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
