"""curate/measure/turned.py: photos that are stored turned, on the astronaut."""

from collections.abc import Sequence

import numpy as np
import pytest

from curate.decode import Pixels
from curate.faces.detectors.mtcnn import Mtcnn
from curate.faces.faces import Faces
from curate.measure.turned import search_turned
from manifests.landmarks import TEMPLATES
from tests.samples.measured_faces import ASTRONAUT_PHOTO

UPRIGHT: Pixels = np.ascontiguousarray(ASTRONAUT_PHOTO[:300, 60:380])  # not square


class ViewCounter:
    """A detector without faces that counts what it is called on."""

    fingerprint = ""
    confident_score = 0.997

    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, photos: Sequence[Pixels]) -> Faces:
        self.counts.append(len(photos))
        return Faces.empty()


@pytest.fixture(scope="module")
def detector() -> Mtcnn:
    return Mtcnn()


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_the_turn_is_found_and_the_crop_is_upright(detector: Mtcnn, turn: int) -> None:
    upright = detector([UPRIGHT])
    stored = np.ascontiguousarray(np.rot90(UPRIGHT, turn // 90))  # counter-clockwise: undone by a clockwise turn
    photos = [UPRIGHT, stored]
    faces, turns = search_turned(photos, detector(photos), detector)
    assert turns.tolist() == [0, turn]
    template = TEMPLATES["simswap-224"]
    expected = upright.largest().crop([UPRIGHT], template).float()
    crop = faces.in_photo(1).largest().crop(photos, template).float()
    assert (crop - expected).abs().mean() < 1
    height, width = stored.shape[:2]
    box = faces.in_photo(1).box[0]
    assert (box[:2] < box[2:]).all()
    assert (box > -20).all()
    assert (box < [width + 20, height + 20] * 2).all()


@pytest.mark.parametrize(("score", "roll", "searched"), [(0.99, 4, 1), (0.99, 88, 1), (0.95, 4, 3), (0.5, 4, 3)])
def test_orientations_are_searched_where_they_are_likely(score: float, roll: float, searched: int) -> None:
    points = TEMPLATES["simswap-224"].points[2] - 112
    angle = np.radians(-roll)
    points = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 150
    face = Faces(
        np.zeros(1, np.int64),
        np.array([[90, 90, 210, 210]], np.float32),
        points[None].astype(np.float32),
        np.array([score], np.float32),
    )
    views = ViewCounter()
    faces, turns = search_turned([np.full((300, 300, 3), 90, np.uint8)], face, views)
    assert views.counts == [searched]
    assert (len(faces), turns.tolist()) == (1, [0])


def test_a_photo_without_a_face_is_not_turned(detector: Mtcnn) -> None:
    photos = [np.full((80, 100, 3), 90, np.uint8)]
    faces, turns = search_turned(photos, detector(photos), detector)
    assert (len(faces), turns.tolist()) == (0, [0])
