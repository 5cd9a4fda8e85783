"""What objectives with a narrow code share: weights around eyes and mouth, and the distance between codes."""

import pytest
import torch

from train.objectives.reconstruction import feature_map, relative_error


def test_the_weight_is_highest_at_eyes_and_mouth() -> None:
    points = torch.tensor([[[32.0, 40.0], [64.0, 40.0], [48.0, 55.0], [36.0, 70.0], [60.0, 72.0]]])
    weights = feature_map(points, 96)
    assert weights.shape == (1, 1, 96, 96)
    for x, y in ((32, 40), (64, 40), (36, 70), (60, 72), (48, 71)):
        assert weights[0, 0, y, x].item() == pytest.approx(1, abs=1e-5)
    assert weights[0, 0, 55, 48] < 0.1  # the nose
    assert weights[0, 0, 5, 5] < 1e-3


def test_the_distance_of_codes_is_relative_to_their_variance_and_moves_the_swap_alone() -> None:
    target = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    code = (target.detach() + 0.5).requires_grad_()
    assert relative_error(code, target).item() == pytest.approx(0.25, rel=0.2)
    torch.testing.assert_close(relative_error(9 * code, 9 * target), relative_error(code, target))
    relative_error(code, target).backward()
    assert target.grad is None
    assert (code.grad > 0).all()  # descending moves the code back
