"""Warps: a turned head narrows on the side it turns to, and a photo's border lies where its part ends."""

import cv2
import numpy as np

from tests.train.perception.drawn_face import CLASS, drawn_face
from train.perception.occluders import face_frame
from train.perception.warps import FILLS, Rectangle, compose, is_mirrored, sample, similarity, turned


def width(labels: np.ndarray, name: str) -> int:
    return int(np.ptp(np.nonzero(labels == CLASS[name])[1])) + 1


def test_a_turned_head_shows_less_of_its_far_side() -> None:
    _, labels = drawn_face()
    frame = face_frame(labels)
    assert frame is not None
    positions = turned(frame, 128, 40)
    moved = cv2.remap(labels, positions[..., 0], positions[..., 1], cv2.INTER_NEAREST)
    assert width(moved, "l_eye") < 0.8 * width(moved, "r_eye")  # the subject's left eye is on the image's right
    assert width(moved, "skin") < width(labels, "skin")
    same = np.stack(np.meshgrid(range(128), range(128)), 2)
    np.testing.assert_allclose(turned(frame, 128, 0)[20:-20, 20:-20], same[20:-20, 20:-20], atol=1.5)


def test_a_warp_after_a_similarity_transform() -> None:
    rng = np.random.default_rng(3)
    first = similarity(64, 128, tight=False, rng=rng)
    same = np.stack(np.meshgrid(np.arange(128, dtype=np.float32), np.arange(128, dtype=np.float32)), 2)
    within = ((first > 1) & (first < 126)).all(2)
    np.testing.assert_allclose(compose(first, same)[within], first[within], atol=0.05)
    mirrored = [is_mirrored(similarity(16, 128, tight=True, rng=rng)) for _ in range(60)]
    assert 15 < sum(mirrored) < 45


def test_outside_the_shown_part_is_a_border() -> None:
    photo = np.full((64, 64, 3), 100, np.uint8)
    positions = np.stack(np.meshgrid(np.arange(64, dtype=np.float32), np.arange(64, dtype=np.float32)), 2)
    differing = 0
    for seed in range(12):
        crop, shows = sample(photo, positions, Rectangle(16, 0, 64, 48), np.random.default_rng(seed))
        assert shows.sum() == 48 * 48
        assert (crop[shows] == 100).all()
        differing += (crop[~shows] != 100).any()
    assert differing >= 12 * 0.5  # replicated, reflected and blurred borders of a plain photo look like it
    assert len(FILLS) == 6
