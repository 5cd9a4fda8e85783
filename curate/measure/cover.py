"""How much of the eyes and the mouth is covered, and whether glasses are dark, from label map and crop.

A zone is an ellipse around each eye or around the mouth corners. It is covered where its label is hair, hat, cloth or
neck, or background within the convex hull of the face: the segmenter leaves hands, microphones and other objects out of
the face. Background beyond the hull is what is seen past the profile of a turned head, or lies outside the photo.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.measure.region import class_table
from curate.measure.thinned import Thinned
from manifests.landmarks import FACE_CLASSES, MASK_CLASSES

CELL = 2
"""Label maps are read at every second pixel, as the crops are (`Thinned`)."""

EYE_AXES = (0.26, 0.16)
"""Half-axes of an eye's zone, in units of the face: the eyes and the skin around them, without the brows."""

MOUTH_MARGIN, MOUTH_HEIGHT = 0.06, 0.24
"""The zone of the mouth reaches so far beyond its corners, and up and down, in units of the face."""

EYE_MOUTH_RATIO = 0.9
"""The unit of a face is the distance between its eyes or this share of that between eyes and mouth, whichever is
larger, so that a turned head does not shrink it."""

MIN_ZONE = 0.25
"""Share of a zone that must be face or cover; of the others nothing is known."""

MIN_SKIN = 50
"""Cells of skin with which lenses can be compared."""

LENS_QUANTILE, DARK_LENS = 0.75, 0.5
"""Glasses are as bright as this quantile of their luma: skin seen through clear ones is brighter, whatever the colour
of the rim. They are dark at this share of the luma of the skin, or below."""

Labels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def _are(labels: Labels, table: Labels) -> Flags:
    """Which labels have a 1 in a table of `class_table`."""
    return np.asarray(cv2.LUT(labels, table), np.uint8).view(bool)


_FACE = class_table(FACE_CLASSES)
_OVER = class_table(("hair", "hat", "cloth", "neck", "neck_l", "ear_r"))
_LIPS = class_table(("u_lip", "l_lip", "mouth"))
_SKIN = class_table(("skin", "nose"))
_GLASSES = MASK_CLASSES.index("glasses")


def cover(thinned: Thinned, label_maps: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Measure what covers N faces: float32 (N,) each.

    - `eyes_covered`: share of the zones of both eyes, 0-1; an eye of which nothing is known is left out.
    - `mouth_covered`: share of the zone of the mouth, 0-1.
    - `sunglasses`: share of the zones of the eyes that is glasses, times the darkness of the lenses, 0-1.

    NaN where the photo or a turned head does not show the zone, and for `sunglasses` where no skin is found.

    Args:
        thinned: of crops (N, 3, H, W).
        label_maps: uint8 (N, H, W).
        points: (N, 5, 2), landmarks in crop px.
    """
    labels = label_maps[:, ::CELL, ::CELL].contiguous().cpu().numpy()
    brightness = thinned.luma.cpu().numpy()
    cells = points.cpu().double().numpy() / CELL
    rows = [_cover(*face) for face in zip(labels, brightness, cells, strict=True)]
    columns = torch.tensor(rows, dtype=torch.float32).reshape(-1, 3).unbind(1)
    return dict(zip(("eyes_covered", "mouth_covered", "sunglasses"), columns, strict=True))


def _cover(
    labels: Labels, brightness: npt.NDArray[np.float32], points: npt.NDArray[np.float64]
) -> tuple[float, float, float]:
    """`eyes_covered`, `mouth_covered` and `sunglasses` of one face, in cells."""
    face = _are(labels, _FACE)
    covers = _are(labels, _OVER) | ((labels == 0) & _hull(face))
    covers &= ~_hull(_are(labels, _LIPS))  # an open mouth is no cover
    eyes_to_mouth = (points[3] + points[4] - points[0] - points[1]) / 2
    height = float(np.hypot(*eyes_to_mouth))
    unit = max(float(np.hypot(*(points[1] - points[0]))), EYE_MOUTH_RATIO * height, 1.0)
    down = eyes_to_mouth / max(height, 1e-9)
    eyes = [_Zone.around(labels.shape, point, down, unit * EYE_AXES[0], unit * EYE_AXES[1]) for point in points[:2]]
    half_mouth = float(np.hypot(*(points[4] - points[3]))) / 2 + unit * MOUTH_MARGIN
    mouth = _Zone.around(labels.shape, (points[3] + points[4]) / 2, down, half_mouth, unit * MOUTH_HEIGHT)
    shares = np.array([_share(zone, covers, face) for zone in eyes])
    known = shares[np.isfinite(shares)]
    return (
        float(known.mean()) if len(known) else float("nan"),
        _share(mouth, covers, face),
        _dark_lenses(labels, brightness, eyes),
    )


def _dark_lenses(labels: Labels, brightness: npt.NDArray[np.float32], zones: list["_Zone"]) -> float:
    """`sunglasses` of one face: the share of glasses of the eyes' zones times the darkness of the glasses."""
    skin = _are(labels, _SKIN)
    if np.count_nonzero(skin) < MIN_SKIN:
        return float("nan")
    glasses = labels == _GLASSES
    if not glasses.any() or not any((zone.inside & glasses[zone.window]).any() for zone in zones):
        return 0.0
    eyes = np.zeros(labels.shape, bool)
    for zone in zones:
        eyes[zone.window] |= zone.inside
    lens = np.quantile(brightness[glasses], LENS_QUANTILE) / max(float(np.median(brightness[skin])), 1.0)
    darkness = np.clip((1 - lens) / (1 - DARK_LENS), 0, 1)
    return float((eyes & glasses).sum() / (eyes & _are(labels, _FACE)).sum() * darkness)


@dataclass(frozen=True)
class _Zone:
    """Cells of an ellipse: bool `inside` (h, w) within a `window` of rows and columns; none lie beyond it."""

    window: tuple[slice, slice]
    inside: Flags

    @classmethod
    def around(
        cls,
        size: tuple[int, ...],
        centre: npt.NDArray[np.float64],
        down: npt.NDArray[np.float64],
        across: float,
        along: float,
    ) -> "_Zone":
        """Ellipse with half-axes `across` and `along` the unit vector `down`, in a map of `size` (H, W)."""
        reach = max(across, along) + 1
        x0, y0 = (min(max(int(c - reach), 0), side) for c, side in zip(centre, size[::-1], strict=True))
        x1, y1 = (min(max(int(c + reach) + 2, 0), side) for c, side in zip(centre, size[::-1], strict=True))
        y, x = np.arange(y0, y1)[:, None], np.arange(x0, x1)
        dx, dy = x - centre[0], y - centre[1]
        inside = ((dx * down[1] - dy * down[0]) / across) ** 2 + ((dx * down[0] + dy * down[1]) / along) ** 2 < 1
        return cls((slice(y0, y1), slice(x0, x1)), np.asarray(inside))


def _share(zone: _Zone, covers: Flags, face: Flags) -> float:
    """Share of a zone that is covered, of its cells that are face or cover; NaN where these are few."""
    covers, face = covers[zone.window], face[zone.window]
    covered = int(np.count_nonzero(zone.inside & covers))
    shown = int(np.count_nonzero(zone.inside & face & ~covers))
    if covered + shown < MIN_ZONE * max(int(np.count_nonzero(zone.inside)), 1):
        return float("nan")
    return covered / (covered + shown)


def _hull(cells: Flags) -> Flags:
    """Cells of the convex hull of cells."""
    filled = np.zeros(cells.shape, np.uint8)
    y = np.flatnonzero(cells.any(1))
    if len(y):
        # The first and the last cell of each row have the hull of all.
        rows = cells[y]
        first, last = rows.argmax(1), cells.shape[1] - 1 - rows[:, ::-1].argmax(1)
        ends = np.empty((2, len(y), 2), np.int32)
        ends[0, :, 0], ends[1, :, 0], ends[:, :, 1] = first, last, y
        cv2.fillConvexPoly(filled, cv2.convexHull(ends.reshape(-1, 2)), 1)
    return filled.view(bool)
