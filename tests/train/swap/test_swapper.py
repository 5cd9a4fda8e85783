"""Swapping photos: which faces are swapped, and that nothing else changes."""

import cv2
import numpy as np
import pytest

from curate.faces.align import inside_mask
from curate.relate.exclude import Gallery
from tests.samples.swap import (
    ASTRONAUT,
    GROUP,
    IdentityGenerator,
    Pixels,
    StripesGenerator,
    detector,
    embedder,
    pixels,
    smaller,
    swapper,
)
from train.swap.consent import Consent
from train.swap.reference import ReferencePeople
from train.trained import TrainedGenerator

SIX = smaller(pixels(GROUP), 0.5)
ONE = smaller(pixels(ASTRONAUT), 0.5)


def changed(before: Pixels, after: Pixels) -> np.ndarray:
    """Centre x, y and width of the changed region."""
    columns, rows = np.flatnonzero((before != after).any((0, 2))), np.flatnonzero((before != after).any((1, 2)))
    return np.array([columns.mean(), rows.mean(), np.ptp(columns)])


def test_every_face_of_every_photo_of_a_batch_is_swapped() -> None:
    empty = np.full((80, 90, 3), 128, np.uint8)
    results = swapper(StripesGenerator())([SIX, empty, ONE])
    assert [(result.faces, result.swapped) for result in results] == [(6, 6), (0, 0), (1, 1)]
    assert [result.reason for result in results] == ["", "no face", ""]
    assert (results[1].pixels == empty).all()
    for box in detector()([SIX]).box:
        x0, y0, x1, y1 = box.astype(int)
        middle = np.s_[(y0 + y1) // 2 - 3 : (y0 + y1) // 2 + 3, (x0 + x1) // 2 - 3 : (x0 + x1) // 2 + 3]
        assert (results[0].pixels[middle] != SIX[middle]).mean() > 0.5
    # The result of a photo does not depend on its batch.
    alone = swapper(StripesGenerator())([ONE])[0].pixels
    assert np.abs(alone.astype(int) - results[2].pixels).max() <= 1


def test_the_identity_generator_returns_the_photo() -> None:
    for photo, result, painted in zip(
        [SIX, ONE], swapper(IdentityGenerator())([SIX, ONE]), swapper(StripesGenerator())([SIX, ONE]), strict=True
    ):
        # At low opacity, rounding may hide the stripes.
        touched = cv2.dilate((painted.pixels != photo).any(2).astype(np.uint8), np.ones((5, 5))) > 0
        assert (result.pixels[~touched] == photo[~touched]).all()
        assert 0.02 < touched.mean() < 0.25
        # Inside, two resamplings change the pixels a little.
        assert np.abs(result.pixels[touched].astype(int) - photo[touched]).mean() < 3


def test_half_the_strength_is_half_the_change() -> None:
    whole, half = swapper(StripesGenerator()), swapper(StripesGenerator())
    half.strength = 0.5
    full, mixed = (swap([ONE])[0].pixels.astype(int) for swap in (whole, half))
    assert np.abs(full - ONE).max() > 20
    assert np.abs(mixed - (full + ONE) / 2).max() <= 1


def test_label_maps_are_background_outside_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a photo that ends at the brows and beside the face: those that a generator with an input mask receives."""
    received: list[tuple[np.ndarray, np.ndarray]] = []
    monkeypatch.setattr(
        TrainedGenerator,
        "input_masks",
        lambda self, labels, boxes, matrices: received.append((labels.numpy(), matrices)),
    )
    cut = np.ascontiguousarray(ONE[40:, 75:])
    assert swapper()([cut])[0].swapped == 1
    ((labels, matrices),) = received
    inside = inside_mask(matrices, labels.shape[1:], [cut.shape[:2]])
    assert 0.05 < (~inside).mean() < 0.7
    assert (labels[~inside] == 0).all()
    assert (labels[inside] > 0).any()


def test_only_the_person_on_a_reference_photo_is_swapped() -> None:
    faces = detector()([SIX])
    embeddings = faces.embed([SIX], embedder()).numpy()
    for wanted in (0, 4):
        only = ReferencePeople(("ref.jpg",), embeddings[wanted][None], embedder().calibration.far_1e2)
        results = swapper(StripesGenerator(), only=only)([SIX, ONE])
        assert (results[0].faces, results[0].swapped) == (6, 1)
        box = faces.box[wanted]
        assert np.abs(changed(SIX, results[0].pixels)[:2] - (box[:2] + box[2:]) / 2).max() < 12
        assert results[1].swapped == 0
        assert results[1].reason.startswith("no face of the person on ref.jpg (highest cosine 0.")


def test_of_several_people_each_is_selected_once() -> None:
    embeddings = np.eye(4, dtype=np.float32)[[0, 1, 1, 2, 3]]
    people = ReferencePeople(("a", "b"), np.eye(4, dtype=np.float32)[:2], 0.5)
    selected = people.select(embeddings, np.array([0, 0, 0, 1, 1]))
    assert selected.tolist() == [True, True, False, False, False]
    assert people.mismatch(embeddings[3:]) == (
        "no face of the 2 people of --only (highest cosine 0.000, threshold 0.500)"
    )


def test_an_excluded_person_is_refused() -> None:
    embeddings = detector()([ONE]).embed([ONE], embedder()).numpy()
    consent = Consent(Gallery(embeddings, ("ann/1.jpg",), embedder().calibration.far_1e4))
    results = swapper(StripesGenerator(), consent=consent)([SIX, ONE])
    assert results[0].swapped == 6
    assert results[1].refused
    assert (results[1].pixels == ONE).all()
    assert "matches ann/1.jpg of --exclude (cosine 1.000" in results[1].reason


def test_a_face_at_the_border_is_swapped_up_to_it() -> None:
    photo = np.ascontiguousarray(pixels(ASTRONAUT)[:, 197:])  # cuts off a cheek
    result = swapper(StripesGenerator())([photo])[0]
    assert result.swapped == 1
    # Label maps have a resolution of about 2 px, and the stripes leave every second column.
    assert (result.pixels != photo).any(2)[:, :4].any(1).sum() > 50
    again = swapper()([photo])[0].pixels
    assert np.abs(again.astype(int) - photo).max() < 80  # the black beyond the photo is not pasted
    assert np.abs(again.astype(int) - photo)[100:140, 2:8].mean() < 4


def test_a_face_of_20_px_is_swapped() -> None:
    photo = np.full((160, 160, 3), 128, np.uint8)
    small = smaller(pixels(ASTRONAUT), 0.22)
    photo[20 : 20 + len(small), 20 : 20 + small.shape[1]] = small
    width = np.diff(detector()([photo]).box[0, [0, 2]])[0]
    assert 18 < width < 24
    result = swapper(StripesGenerator())([photo])[0]
    assert result.swapped == 1
    assert 10 < changed(photo, result.pixels)[2] < 30


def test_hands_detected_as_faces_are_not_swapped() -> None:
    # At full size, the detector alone detects knuckles and a pot on this photo as faces.
    photo = pixels(GROUP)
    assert len(detector().detector([photo])) > 6
    assert swapper()([photo])[0].swapped == 6
