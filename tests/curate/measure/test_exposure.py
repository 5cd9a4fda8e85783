"""curate/measure/exposure.py: brightness, clipping and skin tone of a real face and of degraded versions of it."""

import numpy as np
import pytest
import torch

from curate.evaluate import degradations
from curate.measure.exposure import exposure
from curate.measure.thinned import Thinned
from tests.samples.measured_faces import ASTRONAUT, batch


def measured(*crops: np.ndarray) -> dict[str, np.ndarray]:
    pixels, labels, points = batch(crops)
    return {name: values.numpy() for name, values in exposure(Thinned.of(pixels), labels, points).items()}


def test_brightness_and_contrast_follow_the_light() -> None:
    columns = measured(ASTRONAUT.crop, degradations.brightness(ASTRONAUT.crop, 0.5))
    assert columns["brightness"][1] == pytest.approx(columns["brightness"][0] / 2, abs=1.5)
    assert columns["contrast"][1] == pytest.approx(columns["contrast"][0] / 2, abs=2)
    assert columns["local_contrast"][1] == pytest.approx(columns["local_contrast"][0] / 2, rel=0.1)


def test_brightness_is_the_median_over_the_face_alone() -> None:
    crop = np.full((224, 224, 3), 255, np.uint8)
    crop[ASTRONAUT.labels > 0] = 90
    columns = measured(crop)
    assert columns["brightness"] == 90
    assert columns["clipped_bright"][0] < 0.02


def test_clipping_is_a_share_of_the_face() -> None:
    dark, bright = ASTRONAUT.crop.copy(), ASTRONAUT.crop.copy()
    dark[130:], bright[:130] = 0, 255
    columns = measured(ASTRONAUT.crop, dark, bright)
    assert columns["clipped_dark"][0] < 0.05
    assert 0.4 < columns["clipped_dark"][1] < 0.7
    assert columns["clipped_dark"][1] + columns["clipped_bright"][2] == pytest.approx(
        1 + columns["clipped_dark"][0] + columns["clipped_bright"][0], abs=0.08
    )


def test_dark_skin_in_good_light_keeps_its_local_contrast() -> None:
    """Darker skin with the same highlights is not an underexposed photo."""
    crop = ASTRONAUT.crop.astype(np.float32)
    dark_skin = (255 * (crop / 255) ** 2.0).astype(np.uint8)  # darker shadows and mid-tones, the same highlights
    dark_photo = degradations.brightness(ASTRONAUT.crop, 0.2)
    columns = measured(ASTRONAUT.crop, dark_skin, dark_photo)
    assert columns["local_contrast"][1] > 0.6 * columns["local_contrast"][0]
    assert columns["local_contrast"][2] < 0.3 * columns["local_contrast"][0]


def test_typology_angle_orders_skin_tones_and_is_null_for_grey() -> None:
    tones = [(240, 210, 190), (200, 150, 120), (110, 70, 50), (128, 128, 128)]
    columns = measured(*(np.broadcast_to(np.array(tone, np.uint8), (224, 224, 3)).copy() for tone in tones))
    assert columns["ita"][0] > 50 > columns["ita"][1] > 0 > columns["ita"][2]
    assert np.isnan(columns["ita"][3])
    assert columns["colourfulness"][3] == 0


def test_typology_angle_agrees_with_scikit_image() -> None:
    from skimage.color import rgb2lab

    lab = rgb2lab(np.array([[[200, 150, 120]]], np.uint8))[0, 0]
    expected = np.degrees(np.arctan2(lab[0] - 50, lab[2]))
    columns = measured(np.broadcast_to(np.array([200, 150, 120], np.uint8), (224, 224, 3)).copy())
    assert columns["ita"][0] == pytest.approx(expected, abs=0.3)


def test_the_typology_angle_without_skin_is_null() -> None:
    pixels, labels, points = batch([ASTRONAUT.crop])
    columns = exposure(Thinned.of(pixels), torch.zeros_like(labels), points)
    assert torch.isnan(columns["ita"]).all()
    assert torch.isfinite(columns["brightness"]).all()
