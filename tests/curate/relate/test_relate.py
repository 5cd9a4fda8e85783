"""Relating: made-up people, as directions with scatter, so that who is who is known."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from curate.relate.centroids import Bucket
from curate.relate.exclude import Gallery, match
from curate.relate.identities import leave_one_out, nearest_others, robust_centre
from curate.relate.main_face import most_prominent
from curate.relate.relate import Settings, relate_collection, relation_rows
from curate.relate.similarity import Pairs, estimate_pairs

DIM = 64
PAIRS = Pairs(same_mean=0.5, same_std=0.1, different_mean=0.0, different_std=0.125)


def people(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, DIM))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def photos_of(person, count, seed, scatter=0.125):
    """Unit vectors about a direction; two of them have a cosine of about 0.5."""
    vectors = person + scatter * np.random.default_rng(seed).standard_normal((count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def mixed(*parts, seed=1):
    """(direction, count) of each person in one folder."""
    return np.concatenate([photos_of(person, count, seed + i) for i, (person, count) in enumerate(parts)])


@pytest.mark.parametrize("wrong", [0, 10, 20, 28])
def test_the_centre_is_of_the_largest_group_though_wrong_photos_are_nearly_as_many(wrong):
    anna, *strangers = people(wrong + 1)
    centre = robust_centre(mixed((anna, 30), *((s, 1) for s in strangers)), PAIRS)
    assert centre.centre @ anna > 0.95
    assert centre.weights[:30].min() > 0.5
    assert centre.weights[30:].max(initial=0) < 0.5


def test_two_people_in_a_folder_give_the_centre_of_the_larger_group():
    anna, bert = people(2)
    centre = robust_centre(mixed((bert, 9), (anna, 12)), PAIRS)
    assert centre.centre @ anna > 0.9
    assert centre.own[:9].max() < 0.4 < centre.own[9:].min()


def test_one_two_and_three_photos():
    anna, bert = people(2)
    one = robust_centre(mixed((anna, 1)), PAIRS)
    assert np.isnan(one.own[0])
    two = mixed((anna, 2))
    assert robust_centre(two, PAIRS).own == pytest.approx([two[0] @ two[1]] * 2, abs=1e-5)
    three = robust_centre(mixed((bert, 1), (anna, 2)), PAIRS)
    assert (three.weights > 0.5).tolist() == [False, True, True]
    assert robust_centre(np.empty((0, DIM), np.float32), PAIRS).centre.tolist() == [0.0] * DIM


def test_a_face_does_not_count_for_itself():
    vectors = mixed((people(1)[0], 5))
    own, mean = leave_one_out(vectors, np.ones(5, np.float32))
    others = vectors[1:].sum(axis=0)
    assert own[0] == pytest.approx(vectors[0] @ others / np.linalg.norm(others), abs=1e-5)
    assert mean[0] == pytest.approx((vectors[1:] @ vectors[0]).mean(), abs=1e-5)


def test_nearest_others_in_blocks_equal_the_plain_product():
    vectors, centres = people(50, 1).astype(np.float16), people(7, 2).astype(np.float32)
    centres[3] = 0  # an identity without a face is nobody's nearest
    own = np.arange(50) % 7
    found = nearest_others(vectors, own, centres, block=8)
    cosine = vectors.astype(np.float32) @ centres.T
    cosine[np.arange(50), own] = np.nan
    cosine[:, 3] = np.nan
    assert np.array_equal(found.nearest, np.nanargmax(cosine, axis=1))
    assert found.mean == pytest.approx(np.nanmean(cosine, axis=1), abs=1e-5)
    assert found.std == pytest.approx(np.nanstd(cosine, axis=1), abs=1e-4)
    alone = nearest_others(vectors, own * 0, centres[:1])
    assert (alone.nearest == -1).all()
    assert np.isnan(alone.similarity).all()


def test_pairs_are_estimated_in_spite_of_wrong_photos():
    who = people(40)
    vectors = np.concatenate([mixed((p, 12), (who[i - 1], 3), seed=20 * i) for i, p in enumerate(who)])
    found = estimate_pairs(vectors, np.repeat(np.arange(40), 15), Pairs(0.7, 0.2, 0.1, 0.2))
    assert found.same_mean == pytest.approx(0.5, abs=0.03)
    assert found.different_mean == pytest.approx(0.0, abs=0.03)


def test_the_largest_central_face_is_the_most_prominent():
    boxes = np.array([[0, 0, 40, 40], [40, 40, 70, 70], [np.nan] * 4])
    size = np.full(3, 100.0)
    assert most_prominent(np.array([0, 0, 1]), boxes, size, size).tolist() == [False, True, True]


def bucket(rows):
    """Rows (image_id, identity, vector or None, changes) -> a Bucket; faces of a photo follow each other."""
    names = [image_id for image_id, *_ in rows]
    columns = {
        "image_id": names,
        "identity": [row[1] for row in rows],
        "face_id": [
            None if row[2] is None else f"{row[0]}#{names[:i].count(row[0])}" for i, row in enumerate(rows)
        ],
        "sha256": [hashlib.sha256(f"{i} {name}".encode()).hexdigest() for i, name in enumerate(names)],
        "file_size": [1000] * len(rows),
        "width": [300] * len(rows),
        "height": [300] * len(rows),
    }  # fmt: skip
    random = np.random.default_rng(len(rows))
    for name in ("phash", "phash_mirror", "face_phash"):
        hashes = random.integers(0, 2**63, len(rows), np.uint64).tolist()
        columns[name] = pa.array(
            [None if row[2] is None else h for row, h in zip(rows, hashes, strict=True)], pa.uint64()
        )
    plain = {"box_x0": 100.0, "box_y0": 100.0, "box_x1": 200.0, "box_y1": 200.0, "eye_distance": 50.0}
    plain |= dict.fromkeys(("sharpness", "yaw", "pitch", "brightness", "local_contrast"), 0.5)
    for name, value in plain.items():
        values = [None if row[2] is None else (row[3] if len(row) > 3 else {}).get(name, value) for row in rows]
        columns[name] = pa.array(values, pa.float32())
    vectors = [row[2] for row in rows if row[2] is not None]
    return Bucket(pa.table(columns), np.array(vectors, np.float16).reshape(-1, DIM))


def related(*buckets, **settings):
    chosen = Settings(prior=PAIRS, **settings)
    found = relate_collection(buckets.__getitem__, len(buckets), chosen)
    tables = [relation_rows(buckets.__getitem__, b, found, chosen) for b in range(len(buckets))]
    return {row["face_id"] or row["image_id"]: row for table in tables for row in table.to_pylist()}


def folder(name, *vectors):
    return [(f"{name}/{i:03d}.jpg", name, vector) for i, vector in enumerate(vectors)]


@pytest.fixture(scope="module")
def collection():
    """Thirty people of 20 photos; p00 also holds one of p01 and one of a stranger; p02's photos come twice over."""
    who = people(31)
    rows = []
    for i, person in enumerate(who[:30]):
        vectors = [*photos_of(person, 20, 100 + i)]
        if i == 0:
            vectors += [*photos_of(who[1], 1, 7), *photos_of(who[30], 1, 8)]
        rows += folder(f"p{i:02d}", *vectors)
    rows += folder("p99", *photos_of(who[2], 20, 500))
    rows += folder("q-one", *photos_of(people(1, 77)[0], 1, 501))
    rows += folder("r-nobody", *people(10, 78))
    half = next(i for i, row in enumerate(rows) if row[1] == "p15")
    return related(bucket(rows[:half]), bucket(rows[half:]))


def test_a_flipped_photo_and_a_stranger_are_found_and_only_the_flipped_gets_a_suggestion(collection):
    flipped, strange = collection["p00/020.jpg#0"], collection["p00/021.jpg#0"]
    assert flipped["wrong_person"] > 0.9
    assert (flipped["nearest_identity"], flipped["suggested_identity"]) == ("p01", "p01")
    assert flipped["margin"] == pytest.approx(flipped["own_similarity"] - flipped["nearest_similarity"])
    assert strange["wrong_person"] > 0.9
    assert strange["suggested_identity"] is None


def test_right_photos_are_left_alone(collection):
    good = [row for row in collection.values() if row["identity"][0] == "p" and row["image_id"] not in
            {"p00/020.jpg", "p00/021.jpg"}]  # fmt: skip
    assert sum(row["wrong_person"] >= 0.5 for row in good) <= len(good) // 100
    assert min(row["identity_purity"] for row in good) > 0.8


def test_one_person_in_two_folders_is_reported_and_not_called_wrong(collection):
    assert collection["p02/000.jpg#0"]["same_person_as"] == "p99"
    assert collection["p99/000.jpg#0"]["same_person_as"] == "p02"
    assert {row["same_person_as"] for row in collection.values()} == {None, "p02", "p99"}
    assert max(row["wrong_person"] for row in collection.values() if row["identity"] == "p99") < 0.5


def test_a_lone_photo_has_nothing_to_compare_with_and_a_folder_of_strangers_is_mixed(collection):
    lone = collection["q-one/000.jpg#0"]
    assert (lone["own_similarity"], lone["wrong_person"], lone["identity_size"]) == (None, None, 1)
    assert lone["nearest_identity"] is not None
    assert collection["r-nobody/000.jpg#0"]["identity_purity"] < 0.25


def test_in_a_group_photo_the_face_nearest_the_centre_is_the_main_one():
    anna, bert = people(2)
    rows = folder("anna", *photos_of(anna, 8, 1))
    group = "anna/group.jpg"
    # The stranger is larger and more central; so the first guess is wrong.
    rows += [(group, "anna", photos_of(bert, 1, 2)[0]), (group, "anna", photos_of(anna, 1, 3)[0], {"box_x0": 180.0})]
    found = related(bucket(rows + folder("bert", *photos_of(bert, 8, 4))))
    assert [found[f"{group}#{k}"]["main"] for k in (0, 1)] == [False, True]
    assert found[f"{group}#0"]["wrong_person"] is None


def test_photos_without_a_face_and_loose_ones_have_rows_without_numbers():
    anna, bert = people(2)
    rows = [("loose.jpg", ".", photos_of(bert, 1, 9)[0]), ("anna/blank.jpg", "anna", None)]
    rows += folder("anna", *photos_of(anna, 5, 1)) + folder("bert", *photos_of(bert, 5, 2))
    found = related(bucket(rows))
    blank, loose = found["anna/blank.jpg"], found["loose.jpg#0"]
    assert blank["main"]
    assert (blank["own_similarity"], blank["nearest_identity"], blank["wrong_person"]) == (None, None, None)
    assert (loose["own_similarity"], loose["wrong_person"], loose["nearest_identity"]) == (None, None, "bert")


def test_the_exclusion_gallery_names_the_reference():
    anna, bert = people(2)
    gallery = Gallery(photos_of(bert, 2, 5), ("lfw/b1.jpg", "lfw/b2.jpg"), 0.35)
    found = related(
        bucket(folder("anna", *photos_of(anna, 5, 1)) + folder("bert", *photos_of(bert, 5, 2))), gallery=gallery
    )
    assert all(
        (row["excluded_by"] is not None) == (row["identity"] == "bert") == (row["excluded_similarity"] > 0.35)
        for row in found.values()
    )
    assert (match(people(3), Gallery(np.empty((0, DIM), np.float32), (), 0.3)).reference == -1).all()


def test_a_dataset_of_one_photo_and_one_without_any_face():
    assert related(bucket(folder("anna", people(1)[0])))["anna/000.jpg#0"]["wrong_person"] is None
    assert related(bucket([("anna/blank.jpg", "anna", None)]))["anna/blank.jpg"]["main"]
