"""Duplicate groups of synthetic people in two buckets."""

import numpy as np
import pytest

from curate.relate.candidates import DuplicateLimits
from curate.relate.duplicates import find_duplicates
from curate.relate.identities import relate_bucket
from tests.samples.embeddings import SIMILARITY, bucket, flip_bits, folder, people, photos_of

RANDOM = np.random.default_rng(3)


@pytest.fixture
def buckets():
    """Four photos of anna in bucket 0 (rows 0-3), four of bert in bucket 1 (rows 4-7)."""
    anna, bert = people(2)
    return [bucket(folder("anna", *photos_of(anna, 4, 1))), bucket(folder("bert", *photos_of(bert, 4, 2)))]


def groups(buckets, copies, limits=None, confirm=None, alternative=None):
    """copies: (bucket, row, bits) of photos whose hashes differ from those of anna's first photo in so many bits."""
    faces = [relate_bucket(part, SIMILARITY) for part in buckets]
    for part, row, bits in copies:
        faces[part].hashes[row] = flip_bits(RANDOM, faces[0].hashes[0], bits)
    found = find_duplicates(faces, buckets.__getitem__, limits or DuplicateLimits(), confirm, alternative)
    return found.of_bucket(0).tolist(), found.of_bucket(1).tolist()


def test_copies_across_buckets_are_found_and_confirmed(buckets):
    buckets[1].vectors[3] = buckets[0].vectors[0]
    candidates = []

    def accept(first, second):
        candidates.extend(zip(first, second, strict=True))
        return np.ones(len(first), bool)

    assert groups(buckets, [(1, 3, 2)], confirm=accept) == ([0, -1, -1, -1], [-1, -1, -1, 0])
    assert candidates == [("anna/000.jpg#0", "bert/003.jpg#0")]


def test_candidates_with_other_pixels_are_no_duplicates(buckets):
    buckets[1].vectors[3] = buckets[0].vectors[0]
    refused = groups(buckets, [(1, 3, 2)], confirm=lambda first, second: np.zeros(len(first), bool))
    assert refused == ([-1] * 4, [-1] * 4)


def test_close_hashes_with_other_embeddings_are_no_duplicates(buckets):
    buckets[1].vectors[3] = -buckets[0].vectors[0]
    assert groups(buckets, [(1, 3, 2)]) == ([-1] * 4, [-1] * 4)


def test_a_cropped_copy_is_found_in_its_own_identity_and_in_the_alternative_one(buckets):
    for part, row in ((0, 2), (1, 3)):
        buckets[part].vectors[row] = buckets[0].vectors[0]
    cropped = [(0, 2, 18), (1, 3, 18)]
    limits = DuplicateLimits(crop_cosine=0.99)
    assert groups(buckets, cropped, limits) == ([0, -1, 0, -1], [-1, -1, -1, -1])
    alternative = np.full(8, -1)
    alternative[7] = 0  # bert's last photo may show anna
    assert groups(buckets, cropped, limits, alternative=alternative) == ([0, -1, 0, -1], [-1, -1, -1, 0])
    assert groups(buckets, cropped) == ([-1] * 4, [-1] * 4)
