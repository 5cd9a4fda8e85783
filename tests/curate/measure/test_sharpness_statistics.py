"""curate/measure/sharpness_statistics.py: invariances, and the region that is measured."""

import numpy as np
import pytest
import torch

from curate.evaluate import degradations
from curate.measure.sharpness_statistics import sharpness_statistics
from tests.samples.measured_faces import ASTRONAUT, batch


def test_statistics_do_not_depend_on_light() -> None:
    half = degradations.brightness(ASTRONAUT.crop, 0.5)
    for name, values in sharpness_statistics(*batch([ASTRONAUT.crop, half])).items():
        assert values[0].item() == pytest.approx(values[1].item(), abs=0.06), name


def test_the_outline_of_the_region_adds_no_edge() -> None:
    """A smooth ramp has no detail; setting it to zero outside the face would add some."""
    ramp = np.repeat(np.linspace(60, 200, 224)[None, :, None], 224, 0).repeat(3, 2).astype(np.uint8)
    columns = sharpness_statistics(*batch([ramp]))
    assert columns["laplacian"].item() < -2.5
    assert columns["edge_ratio"].item() < 1.05


def test_an_empty_label_map_is_replaced_by_the_ellipse() -> None:
    pixels, labels, points = batch([ASTRONAUT.crop])
    columns = sharpness_statistics(pixels, torch.zeros_like(labels), points)
    assert all(torch.isfinite(values).all() for values in columns.values())


def test_other_crop_sizes_are_refused() -> None:
    crops = torch.zeros(1, 3, 112, 112, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"224 px crops, got \(112, 112\)"):
        sharpness_statistics(crops, torch.zeros(1, 112, 112), torch.zeros(1, 5, 2))
