"""`Faces`: selection, concatenation, crops and embeddings."""

import numpy as np
import pytest
import torch

from curate.faces.faces import Faces
from curate.faces.models import load_embedder
from manifests.landmarks import TEMPLATES
from tests.samples.measured_faces import ASTRONAUT_PHOTO

LANDMARKS = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]], np.float32)
TEMPLATE = TEMPLATES["arcface-112"]


def faces(*photos: int) -> Faces:
    """One face for each entry of `photos`; its score is its position."""
    count = len(photos)
    landmarks = np.tile(LANDMARKS, (count, 1, 1))
    return Faces(np.array(photos), np.zeros((count, 4), np.float32), landmarks, np.arange(count, dtype=np.float32))


def test_take_selects_by_mask_and_by_index() -> None:
    batch = faces(0, 0, 2)
    assert batch.take(np.array([True, False, True])).score.tolist() == [0, 2]
    assert batch.take(np.array([2, 0])).photo.tolist() == [2, 0]
    assert batch.in_photo(0).score.tolist() == [0, 1]
    assert len(batch.in_photo(1)) == 0


def test_concat_keeps_the_order_of_its_parts_and_their_types() -> None:
    joined = Faces.concat([faces(0, 1), Faces.empty(), faces(1)])
    assert joined.photo.tolist() == [0, 1, 1]
    for array, empty in zip(vars(joined).values(), vars(Faces.concat([])).values(), strict=True):
        assert (array.dtype, array.shape[1:], len(empty)) == (empty.dtype, empty.shape[1:], 0)


def test_photo_indices_of_a_part_become_those_of_the_batch() -> None:
    assert faces(0, 0, 1).with_photos([3, 7]).photo.tolist() == [3, 3, 7]
    assert len(Faces.empty().with_photos([])) == 0


def test_the_largest_face_is_the_first_of_its_photo() -> None:
    assert faces(0, 0, 2, 2, 2, 5).largest().score.tolist() == [0, 2, 5]


@pytest.mark.parametrize("landmarks", [np.full((5, 2), 9.0), np.full((5, 2), np.nan), np.full((5, 2), np.inf)])
def test_landmarks_that_determine_no_transform_are_not_alignable(landmarks: np.ndarray) -> None:
    batch = faces(0, 0)
    batch.landmarks[1] = landmarks
    assert batch.alignable().score.tolist() == [0]
    assert np.isfinite(batch.matrices(TEMPLATE)).all((1, 2)).tolist() == [True, False]
    assert not batch.crop([ASTRONAUT_PHOTO], TEMPLATE)[1].any()


def test_a_crop_shows_the_photo_that_its_face_names() -> None:
    crops = faces(0, 1).crop([ASTRONAUT_PHOTO, np.full((300, 300, 3), 7, np.uint8)], TEMPLATE)
    assert (crops.shape, crops.dtype) == ((2, 3, 112, 112), torch.uint8)
    assert crops[0].float().std() > 20
    assert (crops[1] == 7).all()


def test_an_embedding_is_that_of_the_crop_at_the_embedders_template() -> None:
    embedder = load_embedder("builtin")
    vectors = faces(0, 0).embed([ASTRONAUT_PHOTO], embedder)
    expected = embedder.embed(faces(0).crop([ASTRONAUT_PHOTO], embedder.template))
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, expected.expand(2, -1), atol=1e-5, rtol=0)
