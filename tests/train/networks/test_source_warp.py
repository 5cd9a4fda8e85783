"""The warp of a source's crop to the landmarks of a target."""

import pytest
import torch
from torch import Tensor

from train.networks.source_warp import warp_to

SIDE = 48
POINTS = torch.tensor([[[16.0, 20.0], [32.0, 20.0], [24.0, 28.0], [18.0, 36.0], [30.0, 36.0]]])


def spots(points: Tensor) -> Tensor:
    """A bell of deviation 2 px at each landmark (1, 5, 2), in the first channel; x and y in the others."""
    line = torch.arange(SIDE, dtype=torch.float32)
    x, y = torch.meshgrid(line, line, indexing="xy")
    squared = (x - points[0, :, 0, None, None]) ** 2 + (y - points[0, :, 1, None, None]) ** 2
    return torch.stack([torch.exp(-squared / 8).amax(0), x / SIDE, y / SIDE])[None]


def test_equal_landmarks_leave_the_crop_as_it_is() -> None:
    source = spots(POINTS)
    torch.testing.assert_close(warp_to(source, POINTS, POINTS), source, atol=1e-4, rtol=0)


def test_landmarks_come_to_lie_on_those_of_the_target() -> None:
    target = POINTS + torch.tensor([[[1.0, -2.0], [-1.5, -1.0], [3.0, 0.0], [2.0, 1.0], [0.5, 2.0]]])
    warped = warp_to(spots(POINTS), POINTS, target)[0]
    for (x, y), (source_x, source_y) in zip(target[0].tolist(), POINTS[0].tolist(), strict=True):
        column, row = round(x), round(y)
        shown = warped[1:, row, column] * SIDE
        assert shown.tolist() == pytest.approx([source_x + column - x, source_y + row - y], abs=0.35)


@pytest.mark.parametrize("squeezed", [0.0, 0.02])
def test_landmarks_that_nearly_coincide_move_no_pixel_farther_than_a_quarter_of_the_crop(squeezed: float) -> None:
    profile = POINTS.clone()
    profile[..., 0] = 20 + squeezed * (profile[..., 0] - 20)
    for points, target in ((POINTS, profile), (profile, POINTS)):
        warped = warp_to(spots(points), points, target)
        assert torch.isfinite(warped).all()
        line = torch.arange(SIDE, dtype=torch.float32)
        still = torch.stack(torch.meshgrid(line, line, indexing="xy"))
        assert (warped[0, 1:] * SIDE - still).abs().max() < SIDE / 4 + 0.5
