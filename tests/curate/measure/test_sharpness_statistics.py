"""curate/measure/sharpness_statistics.py: invariances, and the region that is measured."""

import numpy as np
import pytest
import torch

from curate.evaluate import degradations
from curate.measure.sharpness_statistics import filtered, multiplied, sharpness_statistics
from tests.samples.measured_faces import ASTRONAUT, batch


def test_statistics_do_not_depend_on_light() -> None:
    half = degradations.brightness(ASTRONAUT.crop, 0.5)
    columns = sharpness_statistics(*batch([ASTRONAUT.crop, half]))
    for name, error in {"fine_ratio": 0.06, "edge_ratio_min": 0.06, "detail_octaves": 0.15}.items():
        assert columns[name][0].item() == pytest.approx(columns[name][1].item(), abs=error), name


def test_noise_is_measured_and_hardly_changes_the_statistics() -> None:
    noisy = degradations.noise(ASTRONAUT.crop, 8, np.random.default_rng(0))
    columns = sharpness_statistics(*batch([ASTRONAUT.crop, noisy]))
    assert columns["noise"][0].item() < 2
    # Three channels of independent noise make less in their luma: 8 sqrt(0.299^2 + 0.587^2 + 0.114^2) = 5.3.
    assert columns["noise"][1].item() == pytest.approx(5.3, abs=0.6)
    for name, error in {"fine_ratio": 0.15, "edge_ratio_min": 0.15, "detail_octaves": 0.4}.items():
        assert columns[name][0].item() == pytest.approx(columns[name][1].item(), abs=error), name


def test_the_outline_of_the_region_adds_no_edge() -> None:
    """A smooth ramp has no detail; setting it to zero outside the face would add some."""
    ramp = np.repeat(np.linspace(60, 200, 224)[None, :, None], 224, 0).repeat(3, 2).astype(np.uint8)
    columns = sharpness_statistics(*batch([ramp, ASTRONAUT.crop]))
    assert columns["fine_ratio"][0].item() < columns["fine_ratio"][1].item() - 1  # the steps of rounding remain
    assert columns["edge_ratio_min"][0].item() < 0.02


def test_an_empty_label_map_is_replaced_by_the_ellipse() -> None:
    pixels, labels, points = batch([ASTRONAUT.crop])
    columns = sharpness_statistics(pixels, torch.zeros_like(labels), points)
    assert all(torch.isfinite(values).all() for values in columns.values())


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_the_filter_of_cpus_agrees_with_the_product_of_gpus(sigma: float) -> None:
    image = torch.from_numpy(ASTRONAUT.crop[:160, :160, 1].astype(np.float32))[None]
    torch.testing.assert_close(filtered(image, sigma), multiplied(image, sigma), rtol=0, atol=1e-3)


def test_other_crop_sizes_are_refused() -> None:
    crops = torch.zeros(1, 3, 112, 112, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"224 px crops, got \(112, 112\)"):
        sharpness_statistics(crops, torch.zeros(1, 112, 112), torch.zeros(1, 5, 2))
