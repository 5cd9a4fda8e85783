"""Whether two aligned crops show the same picture."""

import cv2
import numpy as np
import pytest

from curate.evaluate import degradations
from curate.relate.pixel_check import agreement, is_same_picture
from tests.samples.measured_faces import ASTRONAUT, GROUP_PHOTO, face_of

CROP = ASTRONAUT.crop
OTHER_LANDMARKS = [[492.2, 318.9], [541.4, 331.4], [507.0, 364.7], [482.7, 367.7], [530.3, 380.4]]


def shifted(crop):
    """The crop as another detection aligns it: turned by 1 degree, enlarged by 2%, moved by 2 px."""
    matrix = cv2.getRotationMatrix2D((112, 112), 1.0, 1.02)
    matrix[:, 2] += 2
    return cv2.warpAffine(crop, matrix, (224, 224), borderMode=cv2.BORDER_REPLICATE)


COPIES = {
    "itself": CROP,
    "re-encoded": degradations.jpeg(CROP, 50),
    "half size": degradations.low_resolution(CROP, 2),
    "mirrored": np.ascontiguousarray(CROP[:, ::-1]),
    "aligned differently": shifted(CROP),
    "darker": degradations.brightness(CROP, 0.7),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_the_same_picture(kind):
    assert is_same_picture(CROP, COPIES[kind])
    assert is_same_picture(COPIES[kind], CROP)


def test_another_face_is_another_picture():
    other = face_of(GROUP_PHOTO, OTHER_LANDMARKS).crop
    assert not is_same_picture(CROP, other)
    assert agreement(CROP, other) == (-1.0, -1.0)


def test_black_areas_outside_the_photo_are_ignored():
    cut = CROP.copy()
    cut[:, :40] = 0
    assert is_same_picture(CROP, cut)
