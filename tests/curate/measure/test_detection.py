"""curate/measure/detection.py: landmarks of the source replace detection where they apply."""

from collections.abc import Sequence

import numpy as np
import pytest

from curate.decode import Decoded, Pixels
from curate.faces.faces import Faces
from curate.measure.detection import detect_faces
from curate.measure.photos import Photo
from curate.sources import Entry

LANDMARKS = (40.0, 50.0, 60.0, 50.0, 50.0, 65.0, 42.0, 80.0, 58.0, 80.0)
DETECTED = Faces(
    np.array([0, 0, 1]),
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.zeros((3, 5, 2), np.float32),
    np.array([0.9, 0.8, 0.7], np.float32),
)
"""Two faces on the first photo given to the detector, one on the second."""


def detector(photos: Sequence[Pixels]) -> Faces:
    return DETECTED.take(DETECTED.photo < len(photos))


def photo(
    landmarks: tuple[float, ...] | None = None,
    box: tuple[float, float, float, float] | None = None,
    orientation: int = 1,
    error: str | None = None,
) -> Photo:
    entry = Entry("a/1.jpg", "a", 0, 0, "a/1.jpg", landmarks=landmarks, box=box)
    decoded = Decoded(np.zeros((100, 100, 3), np.uint8), 100, 100, "JPEG", orientation, ())
    return Photo(entry, "0" * 64, None if error else decoded, {}, error)


def test_faces_are_in_the_order_of_the_photos_whatever_their_origin() -> None:
    photos = [photo(), photo(LANDMARKS), photo(error="truncated"), photo()]
    faces = detect_faces(photos, detector)
    assert faces.photo.tolist() == [0, 0, 1, 3]
    np.testing.assert_array_equal(faces.score, np.array([0.9, 0.8, np.nan, 0.7], np.float32))
    np.testing.assert_array_equal(faces.landmarks[2].ravel(), LANDMARKS)


def test_landmarks_do_not_apply_to_a_photo_that_exif_rotates() -> None:
    faces = detect_faces([photo(LANDMARKS, orientation=6)], detector)
    assert faces.score.tolist() == DETECTED.score[:2].tolist()


@pytest.mark.parametrize(
    ("box", "expected"), [((1, 2, 3, 4), (1, 2, 3, 4)), (None, (30, 29, 70, 98))], ids=["of the source", "derived"]
)
def test_box_of_a_supplied_face(
    box: tuple[float, float, float, float] | None, expected: tuple[float, float, float, float]
) -> None:
    assert detect_faces([photo(LANDMARKS, box)], detector).box[0].tolist() == list(expected)


def test_a_batch_without_decoded_photos_has_no_faces() -> None:
    assert len(detect_faces([photo(error="truncated")], detector)) == 0
