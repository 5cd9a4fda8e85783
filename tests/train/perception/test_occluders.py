"""Each occluder covers part of a face, and the label map says with what; pixels elsewhere stay."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.train.perception.drawn_face import CLASS, drawn_face
from train.perception.occluders import OCCLUDERS, Drawn, Occluders, face_frame


def bank() -> Occluders:
    """A drawn face, and one with a hat in the inverse colours."""
    photo, labels = drawn_face()
    hat = labels.copy()
    hat[10:50, 40:88] = CLASS["hat"]
    return Occluders(np.stack([photo, 255 - photo]), np.stack([labels, hat]))


def test_the_frame_of_a_face() -> None:
    _, labels = drawn_face()
    frame = face_frame(labels)
    assert frame is not None
    assert (round(frame.x), round(frame.eyes_y), round(frame.mouth_y)) == (64, 57, 92)
    assert 60 < frame.width < 70
    assert face_frame(np.zeros_like(labels)) is None


@pytest.mark.parametrize(("draw", "value"), [(draw, value) for draw, _, value in OCCLUDERS])
def test_an_occluder_covers_part_of_the_photo(draw: Callable[..., Drawn], value: int) -> None:
    photo, labels = drawn_face()
    frame = face_frame(labels)
    covered = []
    for seed in range(8):
        drawn = draw(bank(), photo, labels, frame, np.random.default_rng(seed))
        assert drawn is not None
        pixels, cover = drawn
        assert pixels.shape == (*labels.shape, 3)
        assert cover.min() >= 0
        assert cover.max() <= 1
        covered.append((cover > 0.5).mean())
    assert 0.005 < np.median(covered) < 0.5


def test_pasting_changes_pixels_and_labels_together() -> None:
    photo, labels = drawn_face()
    frame = face_frame(labels)
    assert frame is not None
    for seed in range(16):
        pasted, changed = bank().paste(photo, labels, frame, np.random.default_rng(seed))
        if (changed != labels).any():
            assert (pasted != photo).any(2)[changed != labels].mean() > 0.3  # a face may be drawn with its own hair
        assert np.isin(changed[changed != labels], [value for _, _, value in OCCLUDERS]).all()
