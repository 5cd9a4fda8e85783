"""curate/measure/hashes.py: imagehash as the reference, mirrors, copies and other photos."""

import os
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from curate.evaluate import degradations
from curate.measure.hashes import face_hash, photo_hashes
from tests.samples.measured_faces import ASTRONAUT, ASTRONAUT_PHOTO, GROUP_PHOTO, batch


def distance(a: object, b: object) -> int:
    return (int(a) ^ int(b)).bit_count()


def reference(photo: np.ndarray) -> int:
    return int(str(imagehash.phash(Image.fromarray(photo))), 16)


def test_agrees_with_imagehash_and_so_does_the_mirror():
    photos = [ASTRONAUT_PHOTO, GROUP_PHOTO, GROUP_PHOTO[100:500, 200:900]]
    found = photo_hashes(photos)
    for photo, plain, mirror in zip(photos, found["phash"].numpy(), found["phash_mirror"].numpy(), strict=True):
        assert distance(plain, reference(photo)) <= 2
        assert distance(mirror, reference(photo[:, ::-1].copy())) <= 2


@pytest.mark.skipif("SWAPSET_DATA" not in os.environ, reason="SWAPSET_DATA names no folder of test photos")
def test_agrees_with_imagehash_on_web_photos():
    files = sorted(Path(os.environ["SWAPSET_DATA"], "celebs-color").glob("*/*.jpg"))[::2]
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    assert len(photos) > 20
    found = photo_hashes(photos)["phash"].numpy()
    distances = [distance(hash_, reference(photo)) for hash_, photo in zip(found, photos, strict=True)]
    assert max(distances) <= 4
    assert np.mean(np.array(distances) <= 2) > 0.95


def test_copies_are_near_and_other_photos_far():
    copies = [
        ASTRONAUT_PHOTO,
        degradations.jpeg(ASTRONAUT_PHOTO, 50),
        degradations.smaller(ASTRONAUT_PHOTO, 2),
        ASTRONAUT_PHOTO[:, ::-1].copy(),
        GROUP_PHOTO,
    ]
    found = photo_hashes(copies)
    plain, mirror = found["phash"].numpy(), found["phash_mirror"].numpy()
    assert max(distance(plain[0], plain[1]), distance(plain[0], plain[2])) <= 4
    assert distance(plain[0], mirror[3]) <= 2
    assert distance(plain[0], plain[3]) > 12
    assert distance(plain[0], plain[4]) > 12


def test_tiny_and_flat_photos_have_hashes():
    assert len(photo_hashes([np.zeros((5, 3, 3), np.uint8), GROUP_PHOTO])["phash"]) == 2
    assert len(photo_hashes([])["phash"]) == 0


def test_face_hash_is_that_of_the_crop():
    crops, _, _ = batch([ASTRONAUT.crop, degradations.jpeg(ASTRONAUT.crop, 50), ASTRONAUT.crop[::-1].copy()])
    found = face_hash(crops)["face_phash"].numpy()
    assert distance(found[0], reference(ASTRONAUT.crop)) <= 2
    assert distance(found[0], found[1]) <= 4 < distance(found[0], found[2])
