"""curate/measure/cover.py: what is drawn over the eyes or the mouth of a label map is measured, profiles are not."""

import cv2
import numpy as np
import pytest
import torch

from curate.measure.cover import cover
from curate.measure.thinned import Thinned
from manifests.landmarks import MASK_CLASSES
from tests.samples.measured_faces import ASTRONAUT, batch

CLASS = {name: index for index, name in enumerate(MASK_CLASSES)}


def face() -> np.ndarray:
    """Label map of the astronaut: skin, eyes and lips at the landmarks."""
    labels = ASTRONAUT.labels.copy()
    for point, name in zip(ASTRONAUT.points[:2], ("r_eye", "l_eye"), strict=True):
        cv2.ellipse(labels, np.int32(point).tolist(), (12, 6), 0, 0, 360, CLASS[name], -1)
    mouth = ASTRONAUT.points[3:].mean(0)
    cv2.ellipse(labels, np.int32(mouth).tolist(), (25, 10), 0, 0, 360, CLASS["u_lip"], -1)
    return labels


def over(labels: np.ndarray, point: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """The label map with a box of half-sides `size` of a class around a point."""
    x, y = np.int32(point)
    covered = labels.copy()
    covered[y - size[1] : y + size[1], x - size[0] : x + size[0]] = CLASS[name]
    return covered


def measured(labels: np.ndarray, crop: np.ndarray = ASTRONAUT.crop) -> dict[str, float]:
    crops, _, points = batch([crop])
    columns = cover(Thinned.of(crops), torch.from_numpy(labels)[None], points)
    return {name: value.item() for name, value in columns.items()}


def test_an_open_face_is_not_covered() -> None:
    assert measured(face()) == {"eyes_covered": 0, "mouth_covered": 0, "sunglasses": 0}


@pytest.mark.parametrize("name", ["background", "cloth", "hair"])
def test_the_covered_zone_is_measured(name: str) -> None:
    mouth = measured(over(face(), ASTRONAUT.points[3:].mean(0), (45, 25), name))
    assert mouth["mouth_covered"] > 0.9
    assert mouth["eyes_covered"] < 0.1
    eye = measured(over(face(), ASTRONAUT.points[0], (25, 20), name))
    assert eye["eyes_covered"] == pytest.approx(0.5, abs=0.05)
    assert eye["mouth_covered"] < 0.1


def test_the_inside_of_an_open_mouth_is_no_cover() -> None:
    assert measured(over(face(), ASTRONAUT.points[3:].mean(0), (12, 5), "background"))["mouth_covered"] == 0


def test_background_beyond_the_face_is_no_cover() -> None:
    """A head turned so far that its far eye is not seen."""
    labels = face()
    labels[:, int(ASTRONAUT.points[1, 0]) - 5 :] = 0
    assert measured(labels)["eyes_covered"] < 0.1


def test_what_the_photo_does_not_show_is_unknown() -> None:
    labels = face()
    labels[int(ASTRONAUT.points[3:, 1].mean()) - 30 :] = 0
    assert np.isnan(measured(labels)["mouth_covered"])
    assert all(np.isnan(value) for value in measured(np.zeros_like(labels)).values())


def test_dark_lenses_are_sunglasses_and_clear_ones_with_a_dark_rim_are_not() -> None:
    labels, dark, clear = face(), ASTRONAUT.crop.copy(), ASTRONAUT.crop.copy()
    for point in ASTRONAUT.points[:2]:
        labels = over(labels, point, (24, 16), "glasses")
        x, y = np.int32(point)
        dark[y - 16 : y + 16, x - 24 : x + 24] = 20
        cv2.rectangle(clear, (x - 24, y - 16), (x + 24, y + 16), (20, 20, 20), 3)
    assert measured(labels, dark)["sunglasses"] > 0.9
    assert measured(labels, clear)["sunglasses"] < 0.4
    assert measured(face(), dark)["sunglasses"] == 0
