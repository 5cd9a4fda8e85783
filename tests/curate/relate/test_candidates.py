"""Candidate pairs of duplicates, found without comparing all pairs of photos."""

import numpy as np
import pytest

from curate.relate.candidates import DuplicateLimits, PhotoHashes, banded_pairs, close_pairs, exact_pairs, hamming
from tests.samples.embeddings import flip_bits, random_hashes


def as_set(pairs):
    return {tuple(pair) for pair in pairs.tolist()}


def all_pairs(hashes, limits):
    """The pairs with close hashes, where all embeddings are equal."""
    return close_pairs(hashes, np.ones((len(hashes), 1), np.float32), limits)


def test_hamming_counts_differing_bits():
    assert hamming(np.array([0b1011, 0], np.uint64), np.array([0b1000, 2**64 - 1], np.uint64)).tolist() == [2, 64]


@pytest.mark.parametrize("changed", ["photo", "mirror", "face"])
@pytest.mark.parametrize("find", [all_pairs, banded_pairs])
def test_pairs_that_differ_in_up_to_five_bits_are_all_found_and_no_others(find, changed):
    random = np.random.default_rng(3)
    count = 400
    photo, mirror, face = (random_hashes(random, 2 * count) for _ in range(3))
    copies, originals = slice(count, None), slice(0, count)
    bits = random.integers(0, 6, count)
    if changed == "face":
        face[copies] = flip_bits(random, face[originals], bits)
    else:
        first, second = (photo, mirror) if changed == "photo" else (mirror, photo)
        photo[copies] = flip_bits(random, first[originals], bits)
        mirror[copies] = flip_bits(random, second[originals], bits)
    pairs = find(PhotoHashes(photo, mirror, face), DuplicateLimits())
    assert as_set(pairs) == {(i, count + i) for i in range(count)}


@pytest.mark.parametrize(
    ("bits", "face_bits", "cosine", "match"),
    [
        (6, 32, 0.95, True),
        (6, 32, 0.93, False),
        (7, 32, 0.95, False),
        (32, 6, 0.95, True),
        (20, 32, 0.97, True),  # a crop changes the hashes of the photo
        (32, 20, 0.97, True),
        (21, 32, 0.97, False),
        (2, 32, 0.85, True),  # a small copy changes the embedding
        (2, 32, 0.75, False),
    ],
)
def test_the_closer_the_embeddings_the_more_bits_may_differ(bits, face_bits, cosine, match):
    limits = DuplicateLimits(crop_cosine=0.97, small_cosine=0.8)
    photo, face = np.array([bits], np.uint8), np.array([face_bits], np.uint8)
    assert limits.match(photo, face, np.array([cosine], np.float32)).tolist() == [match]


def test_an_identity_of_more_photos_than_a_block_is_compared_in_full():
    random = np.random.default_rng(3)
    photo, mirror, face = (random_hashes(random, 1500) for _ in range(3))
    photo[1499] = photo[101]
    assert as_set(all_pairs(PhotoHashes(photo, mirror, face), DuplicateLimits())) == {(101, 1499)}


def test_the_pairs_of_blank_pictures_grow_linearly():
    blank = np.zeros(300, np.uint64)
    assert len(banded_pairs(PhotoHashes(blank, blank, blank), DuplicateLimits())) <= 64 * 300


def test_exact_pairs_link_equal_bytes():
    sha256 = np.array([b"b", b"a", b"b", b"c", b"b"])
    rows = np.array([10, 11, 12, 13, 14])
    assert as_set(exact_pairs(sha256, rows)) == {(10, 12), (12, 14)}
