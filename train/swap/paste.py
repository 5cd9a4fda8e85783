"""Swapped crops and masks -> the photo with those faces in it, and not a pixel changed beyond the masks' feather.

Everything that shapes the mask happens on the crop, where faces are of one size: erosion and feather are therefore in
proportion to the face, whatever its size in the photo.
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
"""Half the width of the soft edge, as a share of the crop's side; the mask is made smaller by as much first."""

_COARSE = 28  # cells a side of the grid on which colours are compared
_REACH = 6  # cells, half the width of one of the three box filters that carry the comparison inwards


def inside_photo(matrices: Matrices, side: int, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which pixels of each crop show photo: bool (K, side, side). sizes: (K, 2), height and width of each's photo."""
    back = invert(matrices)  # crop -> photo
    line = np.arange(side)
    # x = b00 u + b01 v + b02 for each column u and row v of the crop; the same for y.
    x, y = (
        back[:, k, 0, None, None] * line[None, None, :]
        + back[:, k, 1, None, None] * line[None, :, None]
        + back[:, k, 2, None, None]
        for k in (0, 1)
    )
    height, width = sizes[:, 0, None, None], sizes[:, 1, None, None]
    inside: npt.NDArray[np.bool_] = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return inside


def own_side(photo: npt.NDArray[np.int64], matrices: Matrices, template: Template) -> npt.NDArray[np.bool_]:
    """Which pixels of each crop are nearer to its own face than to another of the same photo: bool (K, T, T).

    Distances are measured in faces: from the middle of the five points, in px of each face's own crop. So two cheeks
    that touch are parted, and neither face is pasted over the other.
    """
    side = template.size[0]
    own = np.ones((len(photo), side, side), bool)
    middle = template.points.mean((0, 1))
    line = np.arange(side, dtype=np.float64)
    mine = (line[None, :] - middle[0]) ** 2 + (line[:, None] - middle[1]) ** 2
    back = invert(matrices)
    centres = transform_points(np.broadcast_to(middle, (len(photo), 1, 2)), back)[:, 0]  # in the photo
    reach = side / np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))  # px of the photo that a crop's side spans
    for one in range(len(photo)):
        near = (photo == photo[one]) & (np.hypot(*(centres - centres[one]).T) < (reach + reach[one]))
        for other in np.flatnonzero(near):
            if other == one:
                continue
            # Crop of `one` -> crop of `other`, a similarity: p' - c = A p + t, so |p' - c|^2 parts into x and y.
            linear = matrices[other, :, :2] @ back[one, :, :2]
            t = matrices[other, :, :2] @ back[one, :, 2] + matrices[other, :, 2] - middle
            scale, (bx, by) = np.linalg.det(linear), 2 * linear.T @ t
            theirs = (scale * line**2 + bx * line)[None, :] + (scale * line**2 + by * line)[:, None] + t @ t
            own[one] &= mine <= theirs
    return own


def soften(mask: Tensor, inside: Tensor) -> Tensor:
    """Face masks -> how much of the swap is shown: float32 (K, 1, T, T), 0 outside the mask, soft at its edge.

    mask, inside: bool (K, T, T), the face, and what shows photo. The photo's own edge is no edge of the face: one
    that leaves the photo is swapped up to the last pixel. The crop's edge is one.
    """
    side = mask.shape[-1]
    radius = max(3, round(FEATHER * side))
    shown = (mask | ~inside)[:, None].float()
    # Erosion: what stays has nothing but face within `radius` px.
    framed = F.pad(shown, (radius, radius, radius, radius))
    soft = -F.max_pool2d(-framed, 2 * radius + 1, 1)
    # Three box filters of a third of the radius: smooth, and 0 again where the mask ends.
    step = radius // 3
    for _ in range(3):
        soft = F.avg_pool2d(soft, 2 * step + 1, 1, step)
    return soft


def match_colour(swapped: Tensor, target: Tensor, edge: Tensor) -> Tensor:
    """Swapped crops with the target's colours at the mask's edge: float32 (K, 3, S, S), not clamped.

    swapped, target: float (K, 3, S, S) of one range; edge: (K, 1, S, S), above 0 where both are seen in the end. There
    they show the same skin, so their difference is an error of colour or light. It is averaged around each place, far
    enough to reach the middle of the face, and taken off; in the middle this is the mean over the whole edge.
    """
    size = swapped.shape[-1]
    cells = min(_COARSE, size)
    difference = F.adaptive_avg_pool2d(torch.cat([(target - swapped) * edge, edge], 1), cells)
    spread = difference
    for _ in range(3):
        spread = F.avg_pool2d(spread, 2 * _REACH + 1, 1, _REACH)
    # A hundredth of the mean over the whole edge: it counts where no edge is near, and alone nowhere.
    whole = difference.mean((2, 3), keepdim=True)
    spread = spread + 0.01 * whole
    shift = spread[:, :3] / spread[:, 3:].clamp(min=1e-6)
    return swapped + F.interpolate(shift, (size, size), mode="bilinear", align_corners=False)


def paste(
    photo: Pixels, colours: npt.NDArray[np.float32], alphas: npt.NDArray[np.float32], matrices: Matrices
) -> Pixels:
    """The photo uint8 (H, W, 3) with these crops laid over it, each at its place; a new array.

    colours: (K, S, S, 3), RGB 0 to 255; alphas: (K, S, S); matrices: (K, 2, 3), photo -> crop of side S. Pixels that
    alpha does not reach keep their values. Crops that the photo shows smaller are averaged, not skipped over.
    """
    result = photo.copy()
    back = invert(matrices)
    scales = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    for colour, alpha, there, scale in zip(colours, alphas, back, scales, strict=True):
        _lay(result, colour, alpha, there, max(1, int(scale + 1e-6)))
    return result


def _lay(
    photo: Pixels, colour: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32], back: Matrices, shrinkage: int
) -> None:
    """Changes the part of `photo` that one crop's alpha reaches. back: (2, 3), crop -> photo."""
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not len(rows):
        return
    # The photo's rectangle in which alpha, and the bilinear pixel beyond it, can lie.
    low, high = np.array([columns[0], rows[0]]) - shrinkage, np.array([columns[-1], rows[-1]]) + shrinkage
    corners = np.array([[low, [high[0], low[1]], [low[0], high[1]], high]], np.float64)
    reached = transform_points(corners, back[None])[0]
    sides = np.array(photo.shape[1::-1])
    start = np.clip(np.floor(reached.min(0)), 0, sides).astype(int)
    stop = np.clip(np.ceil(reached.max(0)) + 1, 0, sides).astype(int)
    if (stop <= start).any():
        return
    matrix = back.copy()
    if shrinkage > 1:
        # Blocks of shrinkage x shrinkage px; block X is centred at shrinkage X + (shrinkage - 1) / 2.
        colour, alpha = (_blocks(layer, shrinkage) for layer in (colour, alpha))
        matrix[:, 2] += matrix[:, :2] @ np.full(2, (shrinkage - 1) / 2)
        matrix[:, :2] *= shrinkage
    matrix[:, 2] -= start
    size = (int(stop[0] - start[0]), int(stop[1] - start[1]))
    # Cubic for the colours: bilinear magnification shows its grid. Not for alpha, which must not overshoot.
    layer = cv2.warpAffine(colour, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None]
    part = photo[start[1] : stop[1], start[0] : stop[0]]
    mixed = part + weight * (np.clip(layer, 0, 255) - part)
    part[:] = np.rint(mixed).astype(np.uint8)


def _blocks(layer: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """(S, S[, C]) -> means over blocks of side x side px; the last ones are filled by repeating the edge."""
    short = -layer.shape[0] % side
    if short:
        layer = np.asarray(cv2.copyMakeBorder(layer, 0, short, 0, short, cv2.BORDER_REPLICATE), np.float32)
    blocks = layer.shape[0] // side
    return np.asarray(cv2.resize(layer, (blocks, blocks), interpolation=cv2.INTER_AREA), np.float32)
