"""curate/measure/stretch.py: a known stretch is recovered on a real face; tilted heads are undefined."""

import numpy as np
import pytest
import torch

from curate.measure.pose import MEAN_FACE, pose
from curate.measure.stretch import stretch
from tests.samples.measured_faces import ASTRONAUT


def stretch_of(points: torch.Tensor) -> dict[str, torch.Tensor]:
    return stretch(points, pose(points)["yaw"])


@pytest.mark.parametrize("factor", [1.35, 1 / 1.35])
def test_stretch_is_recovered_in_both_directions(factor: float) -> None:
    natural = stretch_of(torch.from_numpy(ASTRONAUT.points)[None])
    stretched = stretch_of(torch.from_numpy(ASTRONAUT.points * [1, factor])[None])
    assert abs(natural["stretch"].log().item()) < 0.2
    assert (stretched["stretch"] / natural["stretch"]).item() == pytest.approx(factor, rel=0.02)


def test_the_error_grows_with_tilt_until_the_stretch_is_undefined() -> None:
    def tilted(degrees: float) -> torch.Tensor:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return torch.from_numpy(ASTRONAUT.points @ np.array([[c, s], [-s, c]]))

    columns = stretch_of(torch.stack([tilted(0), tilted(15), tilted(45)]))
    errors = columns["stretch_error"]
    assert 0.05 < errors[0] < errors[1]
    assert torch.isnan(errors[2])
    assert torch.isnan(columns["stretch"][2])


@pytest.mark.parametrize(("degrees", "is_defined"), [(0, True), (20, True), (40, False), (-40, False)])
def test_the_stretch_of_turned_heads_is_undefined(degrees: float, is_defined: bool) -> None:
    angle = np.radians(degrees)
    points = MEAN_FACE.numpy() @ np.array([[np.cos(angle), 0], [0, 1], [np.sin(angle), 0]])
    columns = stretch_of(torch.from_numpy(100 * points)[None])
    assert bool(torch.isfinite(columns["stretch"])) == bool(torch.isfinite(columns["stretch_error"])) == is_defined
