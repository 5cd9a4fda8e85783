"""curate/measure/detection.py: landmarks of the source replace detection where they fit."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from curate.decode import Decoded, Pixels
from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.faces import Faces
from curate.measure.detection import detect_faces
from curate.measure.photos import Photo
from curate.measure.supplied import IMPLAUSIBLE, MISMATCH, OUTSIDE, ROTATED, SAMPLE_PHOTOS, FolderCheck
from curate.sources import Entry
from tests.samples.measured_faces import ASTRONAUT_PHOTO

POINTS = np.array([[40, 50], [60, 50], [50, 62], [42, 72], [58, 72]], np.float32)
LANDMARKS = tuple(POINTS.ravel().tolist())
BOX = np.array([[30, 30, 70, 85]], np.float32)


@dataclass
class StubDetector:
    """Finds the face at POINTS, moved by `shift` px, on every photo."""

    shift: float = 0.0
    fingerprint = "stub"
    confident_score = 0.9
    calls: list[int] = field(default_factory=list)

    def __call__(self, photos: Sequence[Pixels]) -> Faces:
        count = len(photos)
        self.calls.append(count)
        points = np.repeat((POINTS + np.float32(self.shift))[None], count, 0)
        return Faces(np.arange(count), np.repeat(BOX, count, 0), points, np.full(count, 0.95, np.float32))


def photo(
    landmarks: tuple[float, ...] | None = None,
    box: tuple[float, float, float, float] | None = None,
    orientation: int = 1,
    error: str | None = None,
    name: str = "a/1.jpg",
) -> Photo:
    entry = Entry(name, "a", 0, 0, name, landmarks=landmarks, box=box)
    decoded = Decoded(np.zeros((100, 100, 3), np.uint8), 100, 100, "JPEG", orientation, ())
    return Photo(entry, "0" * 64, None if error else decoded, {}, error)


def test_faces_are_in_the_order_of_the_photos_whatever_their_origin() -> None:
    photos = [photo(), photo(LANDMARKS), photo(error="truncated"), photo()]
    faces = detect_faces(photos, StubDetector()).faces
    assert faces.photo.tolist() == [0, 1, 3]
    np.testing.assert_array_equal(faces.score, np.array([0.95, np.nan, 0.95], np.float32))
    np.testing.assert_array_equal(faces.landmarks[1].ravel(), LANDMARKS)


@pytest.mark.parametrize(
    ("supplied", "reason"),
    [
        (photo(LANDMARKS, orientation=6), ROTATED),
        (photo(tuple((POINTS + np.array([60, 0])).ravel())), OUTSIDE),
        (photo(tuple((POINTS * np.array([-1, 1]) + np.array([100, 0])).ravel())), IMPLAUSIBLE),
        (photo(tuple(POINTS[[3, 4, 2, 0, 1]].ravel())), IMPLAUSIBLE),
        (photo((50.0,) * 10), IMPLAUSIBLE),
    ],
    ids=["EXIF", "outside", "mirrored", "mouth above the eyes", "one point"],
)
def test_landmarks_that_do_not_fit_the_photo_are_detected(supplied: Photo, reason: str) -> None:
    detections = detect_faces([supplied], StubDetector())
    assert detections.rejections == [reason]
    np.testing.assert_array_equal(detections.faces.landmarks[0], POINTS)
    assert not np.isnan(detections.faces.score[0])


@pytest.mark.parametrize(
    ("box", "expected"), [((1, 2, 3, 4), (1, 2, 3, 4)), (None, (30, 34.6, 70, 85.2))], ids=["of the source", "derived"]
)
def test_box_of_a_supplied_face(
    box: tuple[float, float, float, float] | None, expected: tuple[float, float, float, float]
) -> None:
    np.testing.assert_allclose(detect_faces([photo(LANDMARKS, box)], StubDetector()).faces.box[0], expected, rtol=1e-6)


def test_a_batch_without_decoded_photos_has_no_faces() -> None:
    assert len(detect_faces([photo(error="truncated")], StubDetector()).faces) == 0


def test_a_sample_of_each_folder_is_compared_with_the_detector() -> None:
    photos = [photo(LANDMARKS, name=f"a/{k}.jpg") for k in range(12)]
    detector = StubDetector()
    detections = detect_faces(photos, detector)
    assert detector.calls == [SAMPLE_PHOTOS]
    assert np.isnan(detections.faces.score).all()
    assert detections.faces.photo.tolist() == list(range(12))


@pytest.mark.parametrize("batch", [1, 3, 12])
def test_a_folder_whose_landmarks_do_not_fit_is_detected_whatever_the_batches(batch: int) -> None:
    photos = [photo(LANDMARKS, name=f"a/{k}.jpg") for k in range(12)]
    check = FolderCheck()
    parts = [detect_faces(photos[k : k + batch], StubDetector(shift=9), check) for k in range(0, 12, batch)]
    assert [reason for part in parts for reason in part.rejections] == [MISMATCH] * 12
    for part in parts:
        np.testing.assert_array_equal(part.faces.landmarks[0], POINTS + 9)


def test_folders_are_judged_apart() -> None:
    fits = tuple((POINTS + 9).ravel().tolist())
    photos = [photo(LANDMARKS, name="a/1/x.jpg"), photo(fits, name="a/2/x.jpg"), photo(LANDMARKS, name="a/1/y.jpg")]
    assert detect_faces(photos, StubDetector(shift=9)).rejections == [MISMATCH, None, MISMATCH]


def test_a_tight_photo_is_searched_with_a_margin() -> None:
    tight = Photo(
        Entry("a/1.jpg", "a", 0, 0, "a/1.jpg"),
        "0" * 64,
        Decoded(np.ascontiguousarray(ASTRONAUT_PHOTO[75:169, 190:284]), 94, 94, "JPEG", 1, ()),
        {},
        None,
    )
    landmarks = detect_faces([tight], Mtcnn()).faces.landmarks
    assert landmarks.min() >= -0.5
    assert landmarks.max() <= 93.5
