"""curate/measure/detail.py: the resolution of a face on its crop."""

import numpy as np
import pytest
import torch

from curate.evaluate.degradations import brightness, gaussian, jpeg, low_resolution, noise
from curate.measure.detail import detail_octaves
from curate.measure.resolution import octaves
from curate.measure.spectrum import spectrum
from tests.samples.measured_faces import ASTRONAUT, luma

WHOLE = torch.ones(1, 20, 20)


def detail(crop: np.ndarray, face: torch.Tensor = WHOLE) -> float:
    gray = torch.from_numpy(luma(np.ascontiguousarray(crop[48:208, 32:192])).astype(np.float32))[None]
    clipped = torch.nn.functional.max_pool2d(gray, 8) >= 254
    return detail_octaves(gray, face, clipped).item()


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0])
def test_a_face_of_few_pixels_has_the_detail_of_its_pixels(factor: float) -> None:
    few = jpeg(low_resolution(ASTRONAUT.crop, factor), 90)
    assert detail(few) == pytest.approx(-np.log2(factor), abs=0.3)


def test_detail_falls_with_blur_and_neither_with_noise_nor_with_light() -> None:
    values = [detail(gaussian(ASTRONAUT.crop, sigma)) for sigma in (1, 2, 4)]
    assert detail(ASTRONAUT.crop) > values[0] > values[1] > values[2]
    noisy = noise(ASTRONAUT.crop, 6, np.random.default_rng(0))
    for same in (noisy, brightness(ASTRONAUT.crop, 0.5), brightness(ASTRONAUT.crop, 2)):
        assert detail(same) == pytest.approx(detail(ASTRONAUT.crop), abs=0.2)


def test_tiles_outside_the_face_do_not_count() -> None:
    face = torch.zeros(1, 20, 20)
    face[:, :, :12] = 1
    blurred = ASTRONAUT.crop.copy()
    blurred[:, 32 + 96 + 16 :] = gaussian(ASTRONAUT.crop, 8)[:, 32 + 96 + 16 :]
    assert detail(blurred, face) == pytest.approx(detail(ASTRONAUT.crop, face), abs=0.3)


def test_the_spectrum_is_that_of_photos() -> None:
    """The same quantity as of a photo, from other tiles."""
    gray = luma(np.ascontiguousarray(ASTRONAUT.crop[48:208, 32:192]))
    values = spectrum(gray)
    assert values is not None
    assert detail(ASTRONAUT.crop) == pytest.approx(float(octaves(values)), abs=0.4)


def test_a_blank_crop_has_a_finite_value() -> None:
    assert -6 < detail(np.full((224, 224, 3), 90, np.uint8)) <= 0
