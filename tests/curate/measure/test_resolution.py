"""curate/measure/resolution.py: enlarged photos resolve no more than their originals."""

import cv2
import numpy as np
import pytest

from curate.evaluate.degradations import jpeg, smaller
from curate.measure.resolution import photo_resolution
from curate.measure.spectrum import spectrum
from tests.samples.measured_faces import ASTRONAUT_PHOTO, GROUP_PHOTO, luma

SHARP = {"astronaut": smaller(ASTRONAUT_PHOTO, 2), "group": smaller(GROUP_PHOTO, 3)}
KERNELS = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC,
           "Lanczos": cv2.INTER_LANCZOS4}  # fmt: skip


def resolution(photo: np.ndarray) -> float:
    return photo_resolution(luma(photo))["resolution"]


@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize("quality", [100, 85, 60])
def test_a_sharp_photo_resolves_its_pixels_however_it_is_coded(name: str, quality: int) -> None:
    assert resolution(jpeg(SHARP[name], quality)) > 0.75


@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_an_enlarged_photo_resolves_what_its_original_does(name: str, kernel: str, factor: float) -> None:
    large = cv2.resize(SHARP[name], None, fx=factor, fy=factor, interpolation=KERNELS[kernel])
    octaves = np.log2(resolution(jpeg(large, 90)) / resolution(SHARP[name]))
    assert octaves == pytest.approx(-np.log2(factor), abs=0.5)


def test_photos_smaller_than_a_tile_have_no_resolution() -> None:
    assert np.isnan(resolution(np.zeros((31, 200, 3), np.uint8)))
    assert spectrum(np.zeros((31, 200), np.uint8)) is None


def test_a_blank_photo_resolves_at_most_its_pixels() -> None:
    assert 0 < resolution(np.full((64, 64, 3), 90, np.uint8)) <= 1
