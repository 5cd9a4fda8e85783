"""curate/measure/damage.py: damage added to real photos is measured, and undamaged photos score zero."""

import cv2
import numpy as np
import pytest

from curate.evaluate import degradations
from curate.measure.damage import flat_fraction, flat_rows, lower_bound
from tests.samples.measured_faces import ASTRONAUT, ASTRONAUT_PHOTO, GROUP_PHOTO, batch, damage_of


def torn(photo: np.ndarray) -> np.ndarray:
    """Shift runs of 16 px blocks and change their colour from the middle on, as after a flipped bit in a JPEG."""
    photo = photo.copy()
    start = photo.shape[0] // 32 * 16
    photo[start:] = np.roll(photo[start:], 48, axis=1)
    photo[start:] = np.clip(photo[start:].astype(int) + np.array([40, -30, 45]), 0, 255)
    photo[start : start + 16, : photo.shape[1] // 32 * 16] = photo[start - 16 : start, : photo.shape[1] // 32 * 16]
    return photo


@pytest.mark.parametrize("photo", [ASTRONAUT_PHOTO, GROUP_PHOTO], ids=["astronaut", "group"])
def test_torn_blocks_are_corruption_and_jpeg_20_is_not(photo: np.ndarray) -> None:
    clean, coded, damaged = (
        damage_of(version)["corruption"] for version in (photo, degradations.jpeg(photo, 20), torn(photo))
    )
    assert max(clean, coded) < 0.002
    assert damaged > 0.003


@pytest.mark.parametrize("width", [16, 20, 32])
@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (40, 90, 180)], ids=["white", "black", "blue"])
def test_borders_pillars_and_gutters_are_not_corruption(width: int, colour: tuple[int, int, int]) -> None:
    photo = GROUP_PHOTO[:400, :400]
    gutter = np.full((400, width, 3), colour, np.uint8)
    framed = cv2.copyMakeBorder(photo, *[width] * 4, cv2.BORDER_CONSTANT, value=colour)
    pillared = np.concatenate([gutter, photo, gutter], 1)
    collage = np.concatenate([photo, gutter, photo[:, ::-1]], 1)
    beside = np.concatenate([photo, photo[::-1, ::-1]], 1)
    above = np.concatenate([photo, photo[::-1, ::-1]], 0)
    for version in (framed, pillared, collage, beside, above):
        assert damage_of(degradations.jpeg(version, 90))["corruption"] == 0


def test_a_few_torn_edges_are_not_corruption_however_small_the_photo() -> None:
    ramp = np.arange(64)
    thumbnail = np.repeat((40 + ramp[:, None] + ramp)[:, :, None], 3, 2).astype(np.uint8)  # no line is flat
    values = []
    for count in (4, 5):
        torn_blocks = thumbnail.copy()
        torn_blocks[56:, : 8 * count] += 60  # count edges above, one beside
        values.append(damage_of(torn_blocks)["corruption"])
    assert values[0] == 0 < values[1]


def test_the_lower_bound_of_a_share_approaches_it_with_more_evidence() -> None:
    bounds = [lower_bound(n // 10, n) for n in (10, 100, 1000, 10**6)]
    assert (np.diff(bounds) > 0).all()
    assert bounds[-1] == pytest.approx(0.1, abs=0.001)
    assert lower_bound(0, 0) == lower_bound(0, 100) == 0


def test_blockiness_rises_as_quality_falls() -> None:
    values = [damage_of(degradations.jpeg(ASTRONAUT_PHOTO, q))["blockiness"] for q in (95, 50, 20, 10)]
    assert damage_of(ASTRONAUT_PHOTO)["blockiness"] < 0.05
    assert (np.diff(values) > 0).all()
    assert values[2] > 0.3


def test_blocks_off_the_grid_do_not_count() -> None:
    coded = degradations.jpeg(ASTRONAUT_PHOTO, 10)[4:, 4:]
    assert damage_of(coded)["blockiness"] == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 300, 3), (300, 7, 3), (12, 12, 3)])
def test_photos_smaller_than_two_blocks_are_measured(shape: tuple[int, int, int]) -> None:
    columns = damage_of(np.full(shape, 77, np.uint8))
    assert columns == {"blockiness": 0, "corruption": 0, "flat_rows": 1}


@pytest.mark.parametrize(("start", "level", "expected"), [(300, 128, 212 / 512), (450, 0, 0), (512, 0, 0)])
def test_flat_rows_are_undecoded_and_black_bars_are_not(start: int, level: int, expected: float) -> None:
    photo = ASTRONAUT_PHOTO.copy()
    photo[start:] = level
    assert flat_rows(photo) == pytest.approx(expected)


def test_a_ground_above_and_below_the_photo_is_not_undecoded() -> None:
    story = cv2.copyMakeBorder(ASTRONAUT_PHOTO, 300, 300, 40, 40, cv2.BORDER_CONSTANT, value=(230, 120, 160))
    assert damage_of(story) == pytest.approx({"blockiness": 0, "corruption": 0, "flat_rows": 0}, abs=0.1)
    assert flat_rows(story) == 0


def test_flat_fraction_is_the_undecoded_share_of_the_face() -> None:
    half = ASTRONAUT.crop.copy()
    half[128:] = 128
    crops, _, points = batch([ASTRONAUT.crop, half])
    clean, grey = flat_fraction(crops, points)["flat_fraction"].tolist()
    assert clean < 0.02
    assert 0.35 < grey < 0.65
