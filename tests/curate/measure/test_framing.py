"""curate/measure/framing.py: border and drawing of copies of real photos."""

import cv2
import numpy as np
import pytest

from curate.evaluate.degradations import jpeg
from curate.measure.framing import grid_levels, photo_framing
from tests.samples.measured_faces import ASTRONAUT_PHOTO, GROUP_PHOTO, luma

PHOTOS = pytest.mark.parametrize("photo", [ASTRONAUT_PHOTO, GROUP_PHOTO], ids=["astronaut", "group"])


def framing(photo):
    return photo_framing(photo, luma(photo))


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (40, 90, 180)], ids=["white", "black", "blue"])
@pytest.mark.parametrize("edges", [(40, 40, 40, 40), (60, 60, 0, 0), (0, 0, 30, 50)], ids=["frame", "bars", "pillars"])
@PHOTOS
def test_a_border_is_measured_after_coding(photo, edges, colour):
    framed = cv2.copyMakeBorder(photo, *edges, cv2.BORDER_CONSTANT, value=colour)
    plain, bordered = framing(photo), framing(jpeg(framed, 85))
    added = 1 - photo[..., 0].size / framed[..., 0].size
    assert plain["border"] < 0.01
    assert bordered["border"] == pytest.approx(added, abs=0.03)


def test_a_photo_of_one_colour_has_no_border():
    assert framing(np.full((64, 64, 3), 200, np.uint8))["border"] == 0


@PHOTOS
def test_text_adds_edges_where_it_is_and_resizing_and_coding_do_not(photo):
    stamped = photo.copy()
    height = photo.shape[0]
    cv2.putText(stamped, "AGENCY", (10, height - 20), cv2.FONT_HERSHEY_SIMPLEX, height / 300, (255, 255, 255), 2)
    plain = grid_levels(framing(photo)["edge_grid"])
    larger = cv2.resize(photo, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC)
    for copy in (larger, jpeg(photo, 60)):
        assert (np.abs(grid_levels(framing(copy)["edge_grid"]) - plain) < 0.5 + 0.1 * plain.clip(10)).all()
    added = grid_levels(framing(stamped)["edge_grid"]) - plain
    assert added[13:].max() > 5
    assert np.abs(added[:12]).max() == 0


def test_coloured_text_of_the_same_luma_adds_edges():
    photo = np.full((300, 300, 3), 128, np.uint8)
    stamped = photo.copy()
    cv2.putText(stamped, "AGENCY", (20, 280), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (255, 65, 120), 3)
    assert abs(luma(stamped).astype(int) - 128).max() <= 2
    assert grid_levels(framing(stamped)["edge_grid"])[13:].max() > 10
