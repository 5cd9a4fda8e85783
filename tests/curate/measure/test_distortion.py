"""curate/measure/distortion.py: damage planted in real photos is seen, and undamaged photos are left alone."""

import numpy as np
import pytest
import torch

from curate.evaluate import degradations
from curate.measure.distortion import flat_fraction, flat_rows, photo_distortion, stretch
from tests.samples.measured_faces import ASTRONAUT, ASTRONAUT_PHOTO, GROUP_PHOTO, batch


def torn(photo: np.ndarray) -> np.ndarray:
    """From the middle on, runs of 16 px blocks are shifted and change colour, as after a flipped bit in a JPEG."""
    photo = photo.copy()
    start = photo.shape[0] // 32 * 16
    photo[start:] = np.roll(photo[start:], 48, axis=1)
    photo[start:] = np.clip(photo[start:].astype(int) + np.array([40, -30, 45]), 0, 255)
    photo[start : start + 16, : photo.shape[1] // 32 * 16] = photo[start - 16 : start, : photo.shape[1] // 32 * 16]
    return photo


@pytest.mark.parametrize("photo", [ASTRONAUT_PHOTO, GROUP_PHOTO], ids=["astronaut", "group"])
def test_torn_blocks_are_corruption_and_jpeg_20_is_not(photo):
    clean, coded, damaged = (
        photo_distortion(version)["corruption"] for version in (photo, degradations.jpeg(photo, 20), torn(photo))
    )
    assert max(clean, coded) < 0.004 < damaged


def test_blockiness_rises_as_quality_falls():
    values = [photo_distortion(degradations.jpeg(ASTRONAUT_PHOTO, q))["blockiness"] for q in (95, 50, 20, 10)]
    assert photo_distortion(ASTRONAUT_PHOTO)["blockiness"] < 0.05
    assert (np.diff(values) > 0).all()
    assert values[2] > 0.3


def test_blocks_off_the_grid_do_not_count():
    coded = degradations.jpeg(ASTRONAUT_PHOTO, 10)[4:, 4:]
    assert photo_distortion(coded)["blockiness"] == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 300, 3), (300, 7, 3), (12, 12, 3)])
def test_small_photos_have_numbers(shape):
    found = photo_distortion(np.full(shape, 77, np.uint8))
    assert found == {"blockiness": 0, "corruption": 0, "flat_rows": 1}


def test_half_decoded_photo():
    half = ASTRONAUT_PHOTO.copy()
    half[300:] = 128
    assert flat_rows(half) == pytest.approx(212 / 512)
    assert flat_rows(ASTRONAUT_PHOTO) == 0
    bars = ASTRONAUT_PHOTO.copy()
    bars[450:] = 0
    assert flat_rows(bars) == 0


def test_grey_area_in_a_face():
    half = ASTRONAUT.crop.copy()
    half[128:] = 128
    crops, _, points = batch([ASTRONAUT.crop, half])
    clean, grey = flat_fraction(crops, points)["flat_fraction"].tolist()
    assert clean < 0.02
    assert 0.35 < grey < 0.65


@pytest.mark.parametrize("factor", [1.35, 1 / 1.35])
def test_stretch_is_found_and_its_direction_told(factor):
    plain = stretch(torch.from_numpy(ASTRONAUT.points)[None])
    stretched = stretch(torch.from_numpy(ASTRONAUT.points * [1, factor])[None])
    assert abs(plain["stretch"].log().item()) < 0.2
    assert (stretched["stretch"] / plain["stretch"]).item() == pytest.approx(factor, rel=0.02)


def test_tilted_heads_have_wider_errors_and_then_none():
    def turned(degrees: float) -> torch.Tensor:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return torch.from_numpy(ASTRONAUT.points @ np.array([[c, s], [-s, c]]))

    found = stretch(torch.stack([turned(0), turned(20), turned(45)]))
    errors = found["stretch_error"]
    assert 0.05 < errors[0] < errors[1]
    assert torch.isnan(errors[2])
    assert torch.isnan(found["stretch"][2])
