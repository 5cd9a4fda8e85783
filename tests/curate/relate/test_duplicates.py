"""Duplicates: pairs found without looking at all pairs, groups that do not chain, the best of a group."""

import numpy as np
import pytest

from curate.relate.copies import find_copies
from curate.relate.duplicates import (
    Limits,
    Pictures,
    banded_pairs,
    best_first,
    close_pairs,
    exact_pairs,
    groups,
    hamming,
)

RANDOM = np.random.default_rng(3)


def flipped(hashes, bits):
    """The hashes with `bits` random bits changed in each."""
    changed = hashes.copy()
    for i in range(len(changed)):
        for bit in RANDOM.choice(64, bits, replace=False):
            changed[i] ^= np.uint64(1) << np.uint64(bit)
    return changed


def noise(count):
    return RANDOM.integers(0, 2**64, count, np.uint64)


def as_set(pairs):
    return {tuple(pair) for pair in pairs.tolist()}


def test_hamming_counts_differing_bits():
    assert hamming(np.array([0b1011, 0], np.uint64), np.array([0b1000, 2**64 - 1], np.uint64)).tolist() == [2, 64]


def all_pairs(pictures, limits):
    """The pairs whose hashes agree, where all embeddings are the same."""
    return close_pairs(pictures, np.ones((len(pictures.whole), 1), np.float32), limits)


@pytest.mark.parametrize("which", ["whole", "mirror", "face"])
@pytest.mark.parametrize("find", [all_pairs, banded_pairs])
def test_pairs_that_differ_in_up_to_five_bits_are_all_found_and_nothing_else(find, which):
    count = 400
    whole, mirror, face = noise(2 * count), noise(2 * count), noise(2 * count)
    bits = RANDOM.integers(0, 6, count)
    for i in range(count):
        if which == "face":
            face[count + i : count + i + 1] = flipped(face[i : i + 1], bits[i])
        else:
            source = whole if which == "whole" else mirror
            whole[count + i : count + i + 1] = flipped(source[i : i + 1], bits[i])
            mirror[count + i : count + i + 1] = flipped((mirror if which == "whole" else whole)[i : i + 1], bits[i])
    found = as_set(find(Pictures(whole, mirror, face), Limits()))
    assert found == {(i, count + i) for i in range(count)}


@pytest.mark.parametrize(
    ("bits", "face_bits", "cosine", "agree"),
    [
        (6, 32, 0.95, True),
        (6, 32, 0.93, False),
        (7, 32, 0.95, False),
        (32, 6, 0.95, True),
        (20, 32, 0.97, True),  # so alike that a crop may have changed the hash
        (32, 20, 0.97, True),
        (21, 32, 0.97, False),
        (2, 32, 0.85, True),  # hardly another photo, so a worse face will do
        (2, 32, 0.75, False),
    ],
)
def test_the_closer_the_embeddings_the_more_bits_may_differ(bits, face_bits, cosine, agree):
    limits = Limits(twin=0.97, sure=0.8)
    told = limits.agree(np.array([bits], np.uint8), np.array([face_bits], np.uint8), np.array([cosine], np.float32))
    assert told.tolist() == [agree]


def test_a_folder_of_more_photos_than_a_block_is_compared_whole():
    whole = noise(1500)
    whole[1499] = whole[101]
    assert as_set(all_pairs(Pictures(whole, noise(1500), noise(1500)), Limits())) == {(101, 1499)}


def test_a_thousand_blank_pictures_do_not_make_a_million_pairs():
    blank = np.zeros(1000, np.uint64)
    assert len(banded_pairs(Pictures(blank, blank, blank), Limits())) <= 64 * 1000


def test_exact_pairs_link_equal_bytes():
    sha256 = np.array([b"b", b"a", b"b", b"c", b"b"])
    rows = np.array([10, 11, 12, 13, 14])
    assert as_set(exact_pairs(sha256, rows)) == {(10, 12), (12, 14)}


def everybody(pairs):
    return np.ones(len(pairs), bool)


def test_groups_are_transitive_and_named_after_the_best():
    links = np.array([[1, 2], [2, 5], [7, 8]])
    rank = np.array([9, 3, 2, 9, 9, 1, 9, 5, 4])
    rows, group = groups(links, everybody, rank)
    assert rows.tolist() == [1, 2, 5, 7, 8]
    assert group.tolist() == [5, 5, 5, 8, 8]


def test_a_chain_of_ever_different_pictures_is_not_one_group():
    chain = np.array([[i, i + 1] for i in range(5)])
    rows, group = groups(chain, lambda pairs: np.abs(pairs[:, 0] - pairs[:, 1]) <= 1, np.arange(6))
    assert dict(zip(rows.tolist(), group.tolist(), strict=True)) == {0: 0, 1: 0, 2: 2, 3: 2, 4: 4, 5: 4}


def test_no_pairs_no_groups():
    rows, group = groups(np.empty((0, 2), np.int64), everybody, np.arange(3))
    assert (len(rows), len(group)) == (0, 0)


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({"eye_distance": 60}, 1),
        ({"eye_distance": 60, "sharpness": 0.1}, 1),
        ({"sharpness": 0.6}, 1),
        ({"sharpness": 0.505, "file_size": 2000}, 1),
        ({"file_size": 999, "name": 0}, 0),
        ({"name": 0}, 1),
        ({"eye_distance": np.nan}, 0),
    ],
)
def test_the_best_photo_is_larger_then_sharper_then_of_more_bytes_then_first_by_name(changed, first):
    plain = {"eye_distance": 50, "sharpness": 0.5, "file_size": 1000, "name": 1}
    photos = {name: np.array([value, changed.get(name, value)]) for name, value in plain.items()}
    assert best_first(**photos).tolist()[0] == first


def test_copies_across_buckets_are_found_and_confirmed():
    from curate.relate.identities import relate_bucket
    from tests.samples.embeddings import SIMILARITY, bucket, folder, people, photos_of

    anna, bert = people(2)
    held = [bucket(folder("anna", *photos_of(anna, 4, 1))), bucket(folder("bert", *photos_of(bert, 4, 2)))]
    # bert/003 is a copy of anna/000 with two bits changed and a smaller face.
    held[1].vectors[3] = held[0].vectors[0]
    faces = [relate_bucket(part, SIMILARITY) for part in held]
    faces[1].hashes[3] = flipped(faces[0].hashes[0], 2)
    seen = []

    def confirm(first, second):
        seen.extend(zip(first, second, strict=True))
        return np.ones(len(first), bool)

    found = find_copies(faces, held.__getitem__, Limits(), confirm)
    assert seen == [("anna/000.jpg#0", "bert/003.jpg#0")]
    assert found.of_bucket(0).tolist() == [0, -1, -1, -1]
    assert found.of_bucket(1).tolist() == [-1, -1, -1, 0]
    refused = find_copies(faces, held.__getitem__, Limits(), lambda first, second: np.zeros(len(first), bool))
    assert len(refused.rows) == 0
    held[1].vectors[3] = -held[0].vectors[0]
    assert len(find_copies(faces, held.__getitem__, Limits()).rows) == 0


def test_a_cropped_copy_is_found_in_its_own_folder_and_in_the_one_that_claims_it():
    from curate.relate.identities import relate_bucket
    from tests.samples.embeddings import SIMILARITY, bucket, folder, people, photos_of

    anna, bert = people(2)
    held = [bucket(folder("anna", *photos_of(anna, 4, 1))), bucket(folder("bert", *photos_of(bert, 4, 2)))]
    faces = [relate_bucket(part, SIMILARITY) for part in held]
    for part, row in ((0, 2), (1, 3)):
        held[part].vectors[row] = held[0].vectors[0]
        faces[part].hashes[row] = flipped(faces[0].hashes[0], 18)
    limits = Limits(twin=0.99)

    def groups_found(claim):
        found = find_copies(faces, held.__getitem__, limits, None, claim)
        return found.of_bucket(0).tolist(), found.of_bucket(1).tolist()

    assert groups_found(None) == ([0, -1, 0, -1], [-1, -1, -1, -1])
    nobody = np.full(8, -1)
    nobody[7] = 0  # bert's last photo may be anna's
    assert groups_found(nobody) == ([0, -1, 0, -1], [-1, -1, -1, 0])
    assert len(find_copies(faces, held.__getitem__, Limits()).rows) == 0
