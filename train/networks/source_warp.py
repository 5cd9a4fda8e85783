"""Warp of a source's crop to the landmarks of a target: a thin-plate spline through five points (Bookstein 1989)."""

import torch
import torch.nn.functional as F
from torch import Tensor

_BENDING = 1e-3
"""Added to the spline's energy, so that it does not bend where two landmarks nearly coincide, as in profiles."""

_AFFINE = 1e-3
"""The same of its affine part, where all landmarks are nearly on a line."""

_FARTHEST = 0.25
"""Largest displacement of a pixel along each axis, in sides of the crop. The spline would move pixels farther only
where landmarks of one face, a profile, nearly coincide and those of the other do not."""


def warp_to(source: Tensor, points: Tensor, target_points: Tensor) -> Tensor:
    """Warp crops so that their landmarks come to lie on the target's.

    Args:
        source: (N, 3, S, S).
        points: (N, 5, 2), landmarks of the source, px of the crop.
        target_points: (N, 5, 2), landmarks of the target, px of a crop of the same size.

    Returns:
        (N, 3, S, S); pixels beyond the source repeat its edge.
    """
    grid = _spline(points, target_points, source.shape[-1])
    return F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _spline(points: Tensor, target_points: Tensor, side: int) -> Tensor:
    """Positions in the source of every pixel of the target, in [-1, 1] as grid_sample reads them: (N, S, S, 2)."""
    points, knots = points.double() / side, target_points.double() / side
    count, number = points.shape[:2]
    line = torch.arange(side, device=points.device) / side
    pixels = torch.stack(torch.meshgrid(line, line, indexing="xy"), 2).view(1, -1, 2).expand(count, -1, -1)
    # [K + aI, P; P^T, -bI] [w; c] = [d; 0] for displacements d, with P = [1, x, y] and no penalty on the shift.
    system = points.new_zeros(count, number + 3, number + 3)
    system[:, :number, :number] = _kernel(knots, knots) + _BENDING * torch.eye(number).to(points)
    system[:, :number, number] = 1
    system[:, :number, number + 1 :] = knots
    system[:, number:, :number] = system[:, :number, number:].mT
    system[:, number + 1 :, number + 1 :] = -_AFFINE * torch.eye(2).to(points)
    displacement = torch.cat([points - knots, points.new_zeros(count, 3, 2)], 1)
    solution = torch.linalg.solve(system, displacement).float()
    weights, shift, linear = solution[:, :number], solution[:, number : number + 1], solution[:, number + 1 :]
    moved = _kernel(pixels, knots.float()) @ weights + shift + pixels @ linear
    position = pixels + moved.clamp(-_FARTHEST, _FARTHEST)
    grid: Tensor = 2 * position + 1 / side - 1
    return grid.view(count, side, side, 2)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """r^2 log r^2 between points (N, A, 2) and (N, B, 2): (N, A, B)."""
    squared: Tensor = (a[:, :, None] - b[:, None]).square().sum(3)
    kernel: Tensor = squared * torch.log(squared + 1e-9)
    return kernel
