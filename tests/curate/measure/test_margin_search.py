"""curate/measure/margin_search.py: a face that fills the frame, on tight crops of the astronaut."""

from collections.abc import Sequence

import numpy as np
import pytest
import skimage.data

from curate.decode import Pixels
from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.faces import Faces
from curate.measure.margin_search import detect_with_margin, search_with_margin
from curate.measure.turned import search_turned
from manifests.landmarks import TEMPLATES
from tests.samples.measured_faces import ASTRONAUT_PHOTO

X0, Y0, SIDE = 190, 75, 94  # the left eye is close to the border


@pytest.fixture(scope="module")
def detector() -> Mtcnn:
    return Mtcnn()


def test_landmarks_beyond_a_tight_photo_are_found_inside(detector: Mtcnn) -> None:
    expected = detector([ASTRONAUT_PHOTO]).largest().landmarks[0]
    photos: list[Pixels] = [ASTRONAUT_PHOTO, np.ascontiguousarray(ASTRONAUT_PHOTO[Y0 : Y0 + SIDE, X0 : X0 + SIDE])]
    found = detector(photos)
    assert found.in_photo(1).landmarks[0].min() < -0.1 * SIDE  # an eye, beyond the photo
    searched = search_with_margin(photos, found, detector)
    assert searched.photo.tolist() == [0, 1]
    assert np.array_equal(searched.landmarks[0], found.landmarks[0])
    difference = np.abs(searched.landmarks[1] + [X0, Y0] - expected).max()
    assert difference < 0.1 * np.linalg.norm(expected[1] - expected[0])


def test_a_large_photo_is_searched_at_a_reduced_size(detector: Mtcnn) -> None:
    face: Pixels = np.ascontiguousarray(ASTRONAUT_PHOTO[20:220, 120:320])
    large: Pixels = np.ascontiguousarray(face.repeat(6, 0).repeat(6, 1))  # 1200 px
    small_points, points = (detect_with_margin([photo], detector).landmarks[0] for photo in (face, large))
    assert np.abs((points + 0.5) / 6 - 0.5 - small_points).max() < 1.5


def test_a_photo_without_a_face_gets_none(detector: Mtcnn) -> None:
    photos = [skimage.data.coffee(), np.full((80, 60, 3), 128, np.uint8), np.zeros((1, 1, 3), np.uint8)]
    assert not len(search_with_margin(photos, Faces.empty(), detector))


class UpsideDownOnce:
    """A detector that finds a face more confidently upside down, unless there is a margin around it.

    The photo is bright in its upper half.
    """

    fingerprint = ""
    confident_score = 0.997

    def __call__(self, photos: Sequence[Pixels]) -> Faces:
        upright = np.array([photo[: len(photo) // 2].mean() > photo[len(photo) // 2 :].mean() for photo in photos])
        margin = np.array([len(photo) > 100 for photo in photos])
        score = np.where(upright, np.where(margin, 0.999, 0.99), np.where(margin, 0.8, 0.999))
        points = np.repeat(TEMPLATES["simswap-224"].points[2][None] / 4 + 20, len(photos), 0)
        box = np.tile([30.0, 30, 70, 70], (len(photos), 1))
        kinds = (box, points, score)
        return Faces(np.arange(len(photos)), *(values.astype(np.float32) for values in kinds))


def test_an_upright_face_that_is_surer_upside_down_is_not_turned() -> None:
    photo = np.zeros((100, 100, 3), np.uint8)
    photo[:50] = 255
    detector = UpsideDownOnce()
    assert search_turned([photo], detector([photo]), detector)[1].tolist() == [0]
