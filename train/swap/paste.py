"""Pastes swapped crops into photos; no pixel beyond the feathered masks changes.

All that shapes a mask happens on the crop, where faces have one size, so erosion and feather are proportional to the
face whatever its size in the photo.
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from curate.faces.align import invert, transform_points
from manifests.landmarks import Template

Pixels = npt.NDArray[np.uint8]
Matrices = npt.NDArray[np.float64]

FEATHER = 0.03
"""Half the width of the soft edge, as a share of the side of the crop. The mask is eroded by as much first."""

_COLOUR_CELLS = 28  # per side of the grid on which colours are compared
_COLOUR_RADIUS = 6  # cells; radius of each of the three box filters that spread the comparison inwards
_MEAN_WEIGHT = 0.01  # of the mean over the whole edge, which decides only where no edge is near


def inside_photo(matrices: Matrices, side: int, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """The pixels of each crop that show the photo, not the black beyond it: bool (K, side, side).

    matrices: (K, 2, 3), photo to crop. sizes: int64 (K, 2), height and width of the photo of each crop.
    """
    back = invert(matrices)  # crop to photo
    line = np.arange(side)
    # x = b00 u + b01 v + b02 for column u and row v of the crop; likewise y.
    x, y = (
        back[:, k, 0, None, None] * line[None, None, :]
        + back[:, k, 1, None, None] * line[None, :, None]
        + back[:, k, 2, None, None]
        for k in (0, 1)
    )
    height, width = sizes[:, 0, None, None], sizes[:, 1, None, None]
    inside: npt.NDArray[np.bool_] = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return inside


def nearest_face(photo: npt.NDArray[np.int64], matrices: Matrices, template: Template) -> npt.NDArray[np.bool_]:
    """The pixels of each crop to which no other face of the same photo is nearer: bool (K, T, T).

    Distances are relative to the size of a face: px from the mean landmark in the crop of that face. Cheeks that touch
    are separated so, and no face is pasted over another. photo: int64 (K,); matrices: (K, 2, 3), photo to crop.
    """
    side = template.size[0]
    nearest = np.ones((len(photo), side, side), bool)
    centre = template.points.mean((0, 1))
    line = np.arange(side, dtype=np.float64)
    distance = (line[None, :] - centre[0]) ** 2 + (line[:, None] - centre[1]) ** 2
    back = invert(matrices)
    centres = transform_points(np.broadcast_to(centre, (len(photo), 1, 2)), back)[:, 0]  # in the photo
    extent = side / np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))  # side of each crop in px of the photo
    for face in range(len(photo)):
        reachable = np.hypot(*(centres - centres[face]).T) < (extent + extent[face])
        for other in np.flatnonzero((photo == photo[face]) & reachable):
            if other == face:
                continue
            # From the crop of `face` to that of `other`: a similarity p' - c = A p + t, so |p' - c|^2 is a sum of a
            # function of x and one of y.
            linear = matrices[other, :, :2] @ back[face, :, :2]
            t = matrices[other, :, :2] @ back[face, :, 2] + matrices[other, :, 2] - centre
            scale, (bx, by) = np.linalg.det(linear), 2 * linear.T @ t
            other_distance = (scale * line**2 + bx * line)[None, :] + (scale * line**2 + by * line)[:, None] + t @ t
            nearest[face] &= distance <= other_distance
    return nearest


def feather(mask: Tensor, inside: Tensor) -> Tensor:
    """The opacity of the swap, float32 (K, 1, T, T): 0 outside the mask, with a soft edge inside it.

    mask, inside: bool (K, T, T), the part to replace, and `inside_photo`. The edge of the photo is no edge of the mask:
    a face cut off by it is swapped up to the last pixel. The edge of the crop is one.
    """
    side = mask.shape[-1]
    radius = max(3, round(FEATHER * side))
    extended = (mask | ~inside)[:, None].float()
    # Erosion by `radius` px.
    framed = F.pad(extended, (radius, radius, radius, radius))
    soft = -F.max_pool2d(-framed, 2 * radius + 1, 1)
    # Three box filters of a third of the radius: smooth, and 0 where the mask ends.
    step = radius // 3
    for _ in range(3):
        soft = F.avg_pool2d(soft, 2 * step + 1, 1, step)
    return soft


def match_colour(swapped: Tensor, target: Tensor, edge: Tensor) -> Tensor:
    """Correct the colours of swapped crops by the target at the edge of the mask: float32 (K, 3, S, S), not clamped.

    swapped, target: float (K, 3, S, S) of one range. edge: (K, 1, S, S), weights above 0 where both remain visible.
    There both show the same skin, so their difference is an error of colour or light. Its weighted mean around each
    pixel is subtracted; in the middle of the face this is the mean over the whole edge.
    """
    size = swapped.shape[-1]
    cells = min(_COLOUR_CELLS, size)
    difference = F.adaptive_avg_pool2d(torch.cat([(target - swapped) * edge, edge], 1), cells)  # (K, 4, cells, cells)
    spread = difference
    for _ in range(3):
        spread = F.avg_pool2d(spread, 2 * _COLOUR_RADIUS + 1, 1, _COLOUR_RADIUS)
    spread = spread + _MEAN_WEIGHT * difference.mean((2, 3), keepdim=True)
    shift = spread[:, :3] / spread[:, 3:].clamp(min=1e-6)
    return swapped + F.interpolate(shift, (size, size), mode="bilinear", align_corners=False)


def paste(
    photo: Pixels, colours: npt.NDArray[np.float32], alphas: npt.NDArray[np.float32], matrices: Matrices
) -> Pixels:
    """A copy of the photo, uint8 (H, W, 3) RGB, with crops blended in.

    colours: (K, S, S, 3), RGB 0 to 255. alphas: (K, S, S), opacity; pixels with opacity 0 keep their values.
    matrices: (K, 2, 3), photo to crop of side S. Crops larger than their place in the photo are averaged, not sampled.
    """
    result = photo.copy()
    back = invert(matrices)
    scales = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    for colour, alpha, crop_to_photo, scale in zip(colours, alphas, back, scales, strict=True):
        _blend(result, colour, alpha, crop_to_photo, max(1, int(scale + 1e-6)))
    return result


def _blend(
    photo: Pixels,
    colour: npt.NDArray[np.float32],
    alpha: npt.NDArray[np.float32],
    crop_to_photo: Matrices,
    shrinkage: int,
) -> None:
    """Blend one crop into `photo`, in place. crop_to_photo: (2, 3). shrinkage: crop px per photo px, rounded down."""
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not len(rows):
        return
    # The rectangle of the photo that alpha can reach, with one pixel more for bilinear sampling.
    low, high = np.array([columns[0], rows[0]]) - shrinkage, np.array([columns[-1], rows[-1]]) + shrinkage
    corners = np.array([[low, [high[0], low[1]], [low[0], high[1]], high]], np.float64)
    reached = transform_points(corners, crop_to_photo[None])[0]
    sides = np.array(photo.shape[1::-1])
    start = np.clip(np.floor(reached.min(0)), 0, sides).astype(int)
    stop = np.clip(np.ceil(reached.max(0)) + 1, 0, sides).astype(int)
    if (stop <= start).any():
        return
    matrix = crop_to_photo.copy()
    if shrinkage > 1:
        # Blocks of shrinkage x shrinkage px; the centre of block X is at shrinkage X + (shrinkage - 1) / 2.
        colour, alpha = (_block_means(layer, shrinkage) for layer in (colour, alpha))
        matrix[:, 2] += matrix[:, :2] @ np.full(2, (shrinkage - 1) / 2)
        matrix[:, :2] *= shrinkage
    matrix[:, 2] -= start
    size = (int(stop[0] - start[0]), int(stop[1] - start[1]))
    # Cubic for colours, because bilinear magnification shows its grid; not for alpha, which must not overshoot.
    layer = cv2.warpAffine(colour, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None]
    region = photo[start[1] : stop[1], start[0] : stop[0]]
    region[:] = np.rint(region + weight * (np.clip(layer, 0, 255) - region)).astype(np.uint8)


def _block_means(layer: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Means of a layer (S, S[, C]) over blocks of side x side px; the last blocks are padded by repeating the edge."""
    padding = -layer.shape[0] % side
    if padding:
        layer = np.asarray(cv2.copyMakeBorder(layer, 0, padding, 0, padding, cv2.BORDER_REPLICATE), np.float32)
    blocks = layer.shape[0] // side
    return np.asarray(cv2.resize(layer, (blocks, blocks), interpolation=cv2.INTER_AREA), np.float32)
