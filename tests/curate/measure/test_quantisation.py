"""curate/measure/quantisation.py: the coarsest of the JPEG codings of a real photo."""

import cv2
import numpy as np
import pytest

from curate.evaluate.degradations import jpeg
from curate.measure.quantisation import quantisation
from tests.samples.measured_faces import ASTRONAUT_PHOTO, luma

PHOTO = cv2.resize(ASTRONAUT_PHOTO, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)

STEPS = {90: 2, 75: 6, 50: 12}
"""Quality -> the luma table of the JPEG standard at (0, 1), scaled as libjpeg does."""


@pytest.mark.parametrize("quality", STEPS)
def test_it_is_the_step_of_the_coding(quality):
    coded = jpeg(PHOTO, quality)
    assert quantisation(luma(PHOTO)) == 1
    assert quantisation(luma(coded)) == pytest.approx(STEPS[quality], abs=1)
    assert quantisation(luma(coded[3:, 3:])) == 1  # the grid of blocks no longer fits


@pytest.mark.parametrize("second", [96, 85, 80, 78])
def test_a_finer_coding_does_not_hide_a_coarser_one_before(second):
    coded = jpeg(PHOTO, 75)
    assert quantisation(luma(jpeg(PHOTO, second))) < quantisation(luma(coded))
    assert quantisation(luma(jpeg(coded, second))) == quantisation(luma(coded))


@pytest.mark.parametrize(("first", "second"), [(86, 90), (88, 92), (75, 84)])
def test_all_frequencies_of_a_small_photo_together_show_an_earlier_table(first, second):
    """No frequency does alone."""
    small = cv2.resize(ASTRONAUT_PHOTO, (176, 176), interpolation=cv2.INTER_AREA)
    coded = jpeg(small, first)
    assert quantisation(luma(jpeg(small, second))) < quantisation(luma(coded))
    assert quantisation(luma(jpeg(coded, second))) == quantisation(luma(coded))


def test_a_coarser_coding_hides_a_finer_one_before():
    assert quantisation(luma(jpeg(jpeg(PHOTO, 75), 50))) == pytest.approx(STEPS[50], abs=1)


def test_tiny_photos_have_none():
    assert np.isnan(quantisation(np.zeros((24, 24), np.uint8)))
