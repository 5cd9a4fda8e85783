"""Landmarks -> source-to-crop matrices -> aligned crops, in batches.

Points, pixel centres and the direction of a matrix follow manifests/landmarks.py. A crop is black beyond its photo.
Shrinking is antialiased: at a scale of 1 / k, k >= 2, each pixel of a crop averages int(k) x int(k) samples of the
photo.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from manifests.landmarks import Floats, Template

Matrices = npt.NDArray[np.float64]
Photo = npt.NDArray[np.uint8]
Points = TypeVar("Points", npt.NDArray[Any], Tensor)

_GRID = 32  # sampling points along each side of a crop in `inside_fraction`
_MAX_SHRINK = 64  # antialiasing averages at most this many source px a side
_MIN_SPREAD = 1e-9  # px^2; below it five points count as equal


def fit(landmarks: Floats, template: Template) -> tuple[Matrices, Matrices]:
    """Fit similarity transforms (rotation, one scale, translation; no reflection) in least squares.

    Args:
        landmarks: (N, 5, 2), px of the photo.
        template: target points; of several poses the one with the smallest residual is used.

    Returns:
        Matrices float64 (N, 2, 3) and residuals float64 (N,), the root mean square distance in crop px. Both are NaN
        for points that are not alignable (all equal, NaN or infinite).
    """
    points = np.asarray(landmarks, np.float64).reshape(-1, 5, 2)
    points = np.where(is_alignable(points)[:, None, None], points, np.nan)
    # In the complex plane a similarity is w = a z + b, and least squares has a closed form (Umeyama 1991, in 2-D):
    # a = sum(conj(z - mean z) (w - mean w)) / sum |z - mean z|^2,  b = mean w - a mean z.
    source = points[..., 0] + 1j * points[..., 1]  # (N, 5)
    poses = template.points[..., 0] + 1j * template.points[..., 1]  # (P, 5)
    z_mean, w_mean = source.mean(1), poses.mean(1)
    z, w = source - z_mean[:, None], poses - w_mean[:, None]
    spread = (np.abs(z) ** 2).sum(1)
    with np.errstate(invalid="ignore"):  # NaN propagates
        a = z.conj() @ w.T / spread[:, None]  # (N, P)
        error = np.sqrt((np.abs(a[..., None] * z[:, None] - w[None]) ** 2).mean(2))  # (N, P)
    rows = np.arange(len(points))
    best = np.where(np.isnan(error), np.inf, error).argmin(1)
    turn = a[rows, best]
    shift = w_mean[best] - turn * z_mean
    matrices = np.stack(
        [
            np.stack([turn.real, -turn.imag, shift.real], 1),
            np.stack([turn.imag, turn.real, shift.imag], 1),
        ],
        1,
    )
    return matrices, error[rows, best]


def is_alignable(landmarks: Floats) -> npt.NDArray[np.bool_]:
    """Whether landmarks (N, 5, 2) determine a similarity transform, that is whether `fit` returns no NaN: bool (N,)."""
    points = np.asarray(landmarks, np.float64).reshape(-1, 5, 2)
    with np.errstate(invalid="ignore"):
        spread = ((points - points.mean(1, keepdims=True)) ** 2).sum((1, 2))
    return np.asarray(np.isfinite(points).all((1, 2)) & (spread > _MIN_SPREAD))


def rescale_points(points: Points, scale: float | npt.NDArray[Any]) -> Points:
    """Points on an image -> the same points on the image resized by `scale` (new side / old side).

    Pixel centres are at integers, so the edge of the image, at -0.5, is the fixed point. `points`: (..., 2) or any
    coordinates, array or tensor; `scale`: a number, or one per coordinate.
    """
    rescaled: Points = (points + 0.5) * scale - 0.5  # type: ignore[assignment]
    return rescaled


def rescale_matrices(matrices: Matrices, scale: float) -> Matrices:
    """Matrices (N, 2, 3) to a crop -> matrices to the same crop resized by `scale`."""
    rescaled = matrices * scale
    rescaled[:, :, 2] += 0.5 * scale - 0.5
    return rescaled


def invert(matrices: Matrices) -> Matrices:
    """Inverses (N, 2, 3) of matrices (N, 2, 3); NaN for a singular one."""
    linear, shift = matrices[:, :, :2], matrices[:, :, 2]
    determinant = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
    determinant = np.where(np.abs(determinant) > 1e-12, determinant, np.nan)
    adjugate = np.stack(
        [
            np.stack([linear[:, 1, 1], -linear[:, 0, 1]], 1),
            np.stack([-linear[:, 1, 0], linear[:, 0, 0]], 1),
        ],
        1,
    )
    back = adjugate / determinant[:, None, None]
    return np.concatenate([back, -(back @ shift[:, :, None])], 2)


def transform_points(points: Floats, matrices: Matrices) -> Matrices:
    """Apply matrices (N, 2, 3) to points (N, P, 2): float64 (N, P, 2)."""
    moved = np.asarray(points, np.float64) @ matrices[:, :, :2].transpose(0, 2, 1)
    return np.asarray(moved + matrices[:, None, :, 2], np.float64)


def inside_fraction(matrices: Matrices, size: tuple[int, int], photo_sizes: npt.ArrayLike) -> Matrices:
    """Share of each crop that lies inside its photo.

    Args:
        matrices: (N, 2, 3), photo -> crop.
        size: (height, width) of the crops.
        photo_sizes: (N, 2), height and width of each matrix's photo.

    Returns:
        float64 (N,), 0 to 1, with a resolution of about 1/32; 0 for a matrix with NaN.
    """
    y, x = ((np.arange(_GRID) + 0.5) * side / _GRID - 0.5 for side in size)
    points = np.stack(np.meshgrid(x, y), 2).reshape(1, -1, 2)
    source = transform_points(points, invert(matrices))
    limits = np.asarray(photo_sizes, np.float64).reshape(-1, 1, 2)[..., ::-1] - 0.5
    return np.asarray(((source >= -0.5) & (source <= limits)).all(2).mean(1), np.float64)


def is_cut(matrices: Matrices, size: tuple[int, int], photo_sizes: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether each crop has pixels beyond its photo, bool (N,); arguments as of `inside_mask`."""
    limits = np.asarray(photo_sizes, np.float64).reshape(-1, 1, 2)[..., ::-1] - 0.5
    # A crop whose corners lie inside is inside.
    corners = np.array([[[0, 0], [size[1] - 1, 0], [0, size[0] - 1], [size[1] - 1, size[0] - 1]]], np.float64)
    sources = transform_points(corners, invert(matrices))
    return np.asarray(~((sources >= -0.5) & (sources <= limits)).all((1, 2)), bool)


def inside_mask(matrices: Matrices, size: tuple[int, int], photo_sizes: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Pixels of each crop whose centre lies inside its photo.

    Args:
        matrices: (N, 2, 3), photo -> crop.
        size: (height, width) of the crops.
        photo_sizes: (N, 2), height and width of each matrix's photo.

    Returns:
        bool (N, height, width); False for a matrix with NaN.
    """
    y, x = np.arange(size[0])[:, None], np.arange(size[1])
    limits = np.asarray(photo_sizes, np.float64).reshape(-1, 2)[:, ::-1] - 0.5  # of x, y
    inside = np.ones((len(matrices), *size), bool)
    back = invert(matrices)
    for face in np.flatnonzero(is_cut(matrices, size, photo_sizes)):
        mask, inverse, limit = inside[face], back[face], limits[face]
        for axis in (0, 1):
            source = inverse[axis, 0] * x + (inverse[axis, 1] * y + inverse[axis, 2])
            mask &= (source >= -0.5) & (source <= limit[axis])
    return inside


def warp(
    photos: Sequence[Photo],
    photo_of: npt.ArrayLike,
    matrices: Matrices,
    size: tuple[int, int],
    device: str | torch.device = "cpu",
) -> Tensor:
    """Warp faces to aligned crops.

    Args:
        photos: uint8 (H, W, 3) RGB, any sizes.
        photo_of: int (N,), index of each face's photo.
        matrices: (N, 2, 3), photo -> crop; one with NaN gives a black crop.
        size: (h, w) of the crops.
        device: where the crops are returned.

    Returns:
        uint8 (N, 3, h, w) RGB on `device`, channels last in memory.
    """
    indices = np.asarray(photo_of, np.int64).reshape(-1)
    crops = np.zeros((len(indices), *size, 3), np.uint8)
    shrinks = _shrink(matrices).tolist()
    extents = _extents(matrices, size).tolist()
    for face in np.flatnonzero(np.isfinite(matrices).all((1, 2))).tolist():
        _warp_face(photos[int(indices[face])], matrices[face], shrinks[face], extents[face], crops[face])
    # Warped on the CPU, in tenths of a millisecond each, crops are equal on every device, and photos, a hundred times
    # as large, are not copied to it.
    return torch.from_numpy(crops).to(device).permute(0, 3, 1, 2)


def warp_crops(crops: Tensor, matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Warp crops to another alignment; differentiable with respect to the pixels.

    Args:
        crops: float (N, 3, H, W).
        matrices: (N, 2, 3), crop -> new crop.
        size: (h, w) of the new crops.

    Returns:
        (N, 3, h, w), 0 beyond the crop. Antialiased by the ratio of the heights: 224 -> 112 averages 2 x 2 samples.
    """
    height, width = crops.shape[2:]
    fine = max(1, round(height / size[0]))
    # inv_ex does not synchronise a GPU with the CPU; neither does the rest of this function.
    back = torch.linalg.inv_ex(matrices[:, :, :2].double()).inverse
    y = (torch.arange(size[0] * fine, device=crops.device, dtype=torch.float64) + 0.5) / fine - 0.5
    x = (torch.arange(size[1] * fine, device=crops.device, dtype=torch.float64) + 0.5) / fine - 0.5
    target = torch.stack(torch.meshgrid(x, y, indexing="xy"), 2)  # (fine h, fine w, 2)
    source = (target[None] - matrices[:, None, None, :, 2].double()) @ back[:, None].mT
    x, y = source.unbind(-1)
    grid = torch.stack([(x + 0.5) * 2 / width - 1, (y + 0.5) * 2 / height - 1], -1).to(crops.dtype)
    sampled = F.grid_sample(crops, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(sampled, fine) if fine > 1 else sampled


def _shrink(matrices: Matrices) -> npt.NDArray[np.int64]:
    """Reciprocal of each matrix's scale, rounded down, at least 1."""
    scale = np.sqrt(np.abs(matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]))
    # The tolerance makes a scale of 1/2 count as 2 whatever its last bit.
    shrink = np.floor(1 / np.maximum(scale, 1 / _MAX_SHRINK) + 1e-6)
    return np.where(np.isfinite(shrink), np.maximum(shrink, 1), 1).astype(np.int64)


def _extents(matrices: Matrices, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Low x, y and high x, y of each crop and one px around it, in whole px of its photo: (N, 4)."""
    height, width = size
    corners = np.array([[[-1, -1], [width, -1], [-1, height], [width, height]]], np.float64)
    sources = transform_points(corners, invert(matrices))
    bounds = np.concatenate([np.floor(sources.min(1)), np.ceil(sources.max(1))], 1)
    # Whatever is not finite is not warped; a crop far larger than its photo overflows no integer.
    return np.asarray(np.clip(np.nan_to_num(bounds), -1e9, 1e9), np.float64)


def _warp_face(photo: Photo, matrix: Matrices, shrink: int, extent: Sequence[float], crop: Photo) -> None:
    """Fill `crop` (h, w, 3): the part of `photo` in it is averaged over shrink x shrink px, then sampled bilinearly."""
    height, width = crop.shape[:2]
    if shrink > 1:
        (x0, x1), (y0, y1) = (
            (max(int(low) - shrink, 0), min(int(high) + shrink + 1, side))
            for low, high, side in zip(extent[:2], extent[2:], photo.shape[1::-1], strict=True)
        )
        if x1 <= x0 or y1 <= y0:
            return
        # Whole blocks of shrink x shrink px; beyond the photo, black completes them.
        columns, rows = -(-(x1 - x0) // shrink), -(-(y1 - y0) // shrink)
        part = photo[y0 : y0 + rows * shrink, x0 : x0 + columns * shrink]
        below, right = rows * shrink - part.shape[0], columns * shrink - part.shape[1]
        if below or right:
            part = np.asarray(cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_CONSTANT), np.uint8)
        photo = np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        # Block X covers photo px from x0 + shrink X; its centre lies (shrink - 1) / 2 further.
        first = np.array([x0, y0]) + (shrink - 1) / 2
        matrix = np.concatenate([matrix[:, :2] * shrink, (matrix[:, 2] + matrix[:, :2] @ first)[:, None]], 1)
    cv2.warpAffine(photo, matrix, (width, height), dst=crop, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
