"""curate/measure/exposure.py: light, clipping and skin tone of a real face, and of the same face made worse."""

import numpy as np
import pytest
import torch

from curate.evaluate import degradations
from curate.measure.exposure import exposure
from tests.samples.measured_faces import ASTRONAUT, batch


def columns(*crops: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in exposure(*batch(crops)).items()}


def test_brightness_and_contrast_follow_the_light():
    found = columns(ASTRONAUT.crop, degradations.brightness(ASTRONAUT.crop, 0.5))
    assert found["brightness"][1] == pytest.approx(found["brightness"][0] / 2, abs=1.5)
    assert found["contrast"][1] == pytest.approx(found["contrast"][0] / 2, abs=2)
    assert found["local_contrast"][1] == pytest.approx(found["local_contrast"][0] / 2, rel=0.1)


def test_brightness_is_the_median_over_the_face_alone():
    crop = np.full((224, 224, 3), 255, np.uint8)
    crop[ASTRONAUT.labels > 0] = 90
    found = columns(crop)
    assert found["brightness"] == 90
    assert found["clipped_bright"][0] < 0.02


def test_clipping_is_a_share_of_the_face():
    dark, bright = ASTRONAUT.crop.copy(), ASTRONAUT.crop.copy()
    dark[130:], bright[:130] = 0, 255
    found = columns(ASTRONAUT.crop, dark, bright)
    assert found["clipped_dark"][0] < 0.05
    assert 0.4 < found["clipped_dark"][1] < 0.7
    assert found["clipped_dark"][1] + found["clipped_bright"][2] == pytest.approx(
        1 + found["clipped_dark"][0] + found["clipped_bright"][0], abs=0.08
    )


def test_dark_skin_in_good_light_keeps_its_local_contrast():
    """Darker skin with the same highlights is not an underexposed photo."""
    crop = ASTRONAUT.crop.astype(np.float32)
    dark_skin = (255 * (crop / 255) ** 2.0).astype(np.uint8)  # shadows and mid-tones sink, highlights stay
    dark_photo = degradations.brightness(ASTRONAUT.crop, 0.2)
    found = columns(ASTRONAUT.crop, dark_skin, dark_photo)
    assert found["local_contrast"][1] > 0.6 * found["local_contrast"][0]
    assert found["local_contrast"][2] < 0.3 * found["local_contrast"][0]


def test_typology_angle_orders_skin_tones_and_is_null_for_grey():
    tones = [(240, 210, 190), (200, 150, 120), (110, 70, 50), (128, 128, 128)]
    found = columns(*(np.broadcast_to(np.array(tone, np.uint8), (224, 224, 3)).copy() for tone in tones))
    assert found["ita"][0] > 50 > found["ita"][1] > 0 > found["ita"][2]
    assert np.isnan(found["ita"][3])
    assert found["is_grey"].tolist() == [False, False, False, True]
    assert found["colourfulness"][3] == 0


def test_typology_angle_agrees_with_scikit_image():
    from skimage.color import rgb2lab

    lab = rgb2lab(np.array([[[200, 150, 120]]], np.uint8))[0, 0]
    expected = np.degrees(np.arctan2(lab[0] - 50, lab[2]))
    found = columns(np.broadcast_to(np.array([200, 150, 120], np.uint8), (224, 224, 3)).copy())
    assert found["ita"][0] == pytest.approx(expected, abs=0.3)


def test_no_skin_labelled_is_null():
    pixels, labels, points = batch([ASTRONAUT.crop])
    found = exposure(pixels, torch.zeros_like(labels), points)
    assert torch.isnan(found["ita"]).all()
    assert torch.isfinite(found["brightness"]).all()
