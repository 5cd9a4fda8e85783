"""curate/measure/hashes.py: equal to imagehash; near for copies, far for other photos."""

import os
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from curate.evaluate import degradations
from curate.measure.hashes import face_hash, photo_hash, thumbnail
from manifests.arrays import hash_column
from tests.samples.measured_faces import ASTRONAUT, ASTRONAUT_PHOTO, GROUP_PHOTO, batch, luma


def distance(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def reference(photo: np.ndarray) -> str:
    return str(imagehash.phash(Image.fromarray(photo)))


@pytest.mark.parametrize(
    "photo", [ASTRONAUT_PHOTO, GROUP_PHOTO, GROUP_PHOTO[100:500, 200:900]], ids=["astronaut", "group", "part"]
)
def test_agrees_with_imagehash_and_so_does_the_mirror(photo: np.ndarray) -> None:
    columns = photo_hash(luma(photo))
    assert distance(columns["phash"], reference(photo)) <= 2
    assert distance(columns["phash_mirror"], reference(photo[:, ::-1].copy())) <= 2


@pytest.mark.skipif("SWAPSET_DATA" not in os.environ, reason="SWAPSET_DATA names no folder of test photos")
def test_agrees_with_imagehash_on_web_photos() -> None:
    files = sorted(Path(os.environ["SWAPSET_DATA"], "celebs-color").glob("*/*.jpg"))[::2]
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    assert len(photos) > 20
    distances = [distance(photo_hash(luma(photo))["phash"], reference(photo)) for photo in photos]
    assert max(distances) <= 4
    assert np.mean(np.array(distances) <= 2) > 0.95


def test_copies_are_near_and_other_photos_far() -> None:
    original = photo_hash(luma(ASTRONAUT_PHOTO))["phash"]
    for copy in (degradations.jpeg(ASTRONAUT_PHOTO, 50), degradations.smaller(ASTRONAUT_PHOTO, 2)):
        assert distance(original, photo_hash(luma(copy))["phash"]) <= 4
    mirrored = photo_hash(luma(ASTRONAUT_PHOTO)[:, ::-1].copy())
    assert distance(original, mirrored["phash_mirror"]) <= 2
    assert distance(original, mirrored["phash"]) > 12
    assert distance(original, photo_hash(luma(GROUP_PHOTO))["phash"]) > 12


@pytest.mark.parametrize("size", [(350, 350), (97, 641), (512, 512), (33, 64)])
def test_the_thumbnail_is_that_of_opencv(size: tuple[int, int]) -> None:
    photo = cv2.resize(luma(GROUP_PHOTO), size[::-1], interpolation=cv2.INTER_AREA)
    expected = cv2.resize(photo, (32, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(thumbnail(photo), expected)


def test_photos_smaller_than_the_thumbnail_have_hashes() -> None:
    assert photo_hash(np.zeros((5, 3), np.uint8)).keys() == {"phash", "phash_mirror"}


def test_face_hash_is_the_hash_of_the_crop() -> None:
    crops, _, _ = batch([ASTRONAUT.crop, degradations.jpeg(ASTRONAUT.crop, 50), ASTRONAUT.crop[::-1].copy()])
    original, copy, upside_down = hash_column(face_hash(crops)["face_phash"].numpy()).to_pylist()
    assert distance(original, reference(ASTRONAUT.crop)) <= 2
    assert distance(original, copy) <= 4 < distance(original, upside_down)
