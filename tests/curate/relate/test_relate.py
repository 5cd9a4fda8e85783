"""Relations of synthetic people whose identities are known."""

import numpy as np
import pytest

from curate.relate.exclude import Gallery, match
from curate.relate.relate import RelateSettings, relate_collection
from curate.relate.relations import relation_rows
from tests.samples.embeddings import DIM, SIMILARITY, bucket, folder, people, photos_of


def relate(*buckets, gallery=None):
    """Buckets -> rows of RELATIONS by face_id, or by image_id without a face."""
    related = relate_collection(buckets.__getitem__, len(buckets), RelateSettings(prior=SIMILARITY))
    tables = [relation_rows(part, number, related, gallery) for number, part in enumerate(buckets)]
    return {row["face_id"] or row["image_id"]: row for table in tables for row in table.to_pylist()}


@pytest.fixture(scope="module")
def relations():
    """Thirty people of 20 photos; p00 also holds one of p01 and one of a stranger; p99 shows the person of p02."""
    persons = people(31)
    rows = []
    for i, person in enumerate(persons[:30]):
        vectors = [*photos_of(person, 20, 100 + i)]
        if i == 0:
            vectors += [*photos_of(persons[1], 1, 7), *photos_of(persons[30], 1, 8)]
        rows += folder(f"p{i:02d}", *vectors)
    rows += folder("p99", *photos_of(persons[2], 20, 500))
    rows += folder("q-single", *photos_of(people(1, 77)[0], 1, 501))
    rows += folder("r-strangers", *people(10, 78))
    half = next(i for i, row in enumerate(rows) if row[1] == "p15")
    return relate(bucket(rows[:half]), bucket(rows[half:]))


def test_flipped_and_outlying_photos_are_wrong_and_only_the_flipped_one_gets_a_suggestion(relations):
    flipped, outlier = relations["p00/020.jpg#0"], relations["p00/021.jpg#0"]
    assert flipped["wrong_person"] > 0.9
    assert (flipped["nearest_identity"], flipped["suggested_identity"]) == ("p01", "p01")
    assert flipped["margin"] == pytest.approx(flipped["own_similarity"] - flipped["nearest_similarity"])
    assert outlier["wrong_person"] > 0.9
    assert outlier["suggested_identity"] is None


def test_right_photos_are_rarely_called_wrong(relations):
    wrong = {"p00/020.jpg", "p00/021.jpg"}
    right = [row for row in relations.values() if row["identity"][0] == "p" and row["image_id"] not in wrong]
    assert sum(row["wrong_person"] >= 0.5 for row in right) <= len(right) // 100
    assert min(row["identity_purity"] for row in right) > 0.8


def test_one_person_in_two_folders_is_reported_and_not_called_wrong(relations):
    assert relations["p02/000.jpg#0"]["same_person_as"] == "p99"
    assert relations["p99/000.jpg#0"]["same_person_as"] == "p02"
    assert {row["same_person_as"] for row in relations.values()} == {None, "p02", "p99"}
    assert max(row["wrong_person"] for row in relations.values() if row["identity"] == "p99") < 0.5


def test_a_single_photo_has_no_own_similarity(relations):
    single = relations["q-single/000.jpg#0"]
    assert (single["own_similarity"], single["wrong_person"], single["identity_size"]) == (None, None, 1)
    assert single["nearest_identity"] is not None


def test_a_folder_of_different_people_has_a_low_purity(relations):
    assert relations["r-strangers/000.jpg#0"]["identity_purity"] < 0.25


def test_in_a_group_photo_the_face_nearest_the_centroid_is_the_main_face():
    anna, bert = people(2)
    rows = folder("anna", *photos_of(anna, 8, 1))
    group = "anna/group.jpg"
    # The stranger's face is larger and more central, so the initial main face is wrong.
    rows += [(group, "anna", photos_of(bert, 1, 2)[0]), (group, "anna", photos_of(anna, 1, 3)[0], {"box_x0": 180.0})]
    relations = relate(bucket(rows + folder("bert", *photos_of(bert, 8, 4))))
    assert [relations[f"{group}#{k}"]["main"] for k in (0, 1)] == [False, True]
    assert relations[f"{group}#0"]["wrong_person"] is None


def test_photos_without_a_face_or_without_an_identity_have_rows_without_numbers():
    anna, bert = people(2)
    rows = [("loose.jpg", ".", photos_of(bert, 1, 9)[0]), ("anna/blank.jpg", "anna", None)]
    rows += folder("anna", *photos_of(anna, 5, 1)) + folder("bert", *photos_of(bert, 5, 2))
    relations = relate(bucket(rows))
    blank, loose = relations["anna/blank.jpg"], relations["loose.jpg#0"]
    assert blank["main"]
    assert (blank["own_similarity"], blank["nearest_identity"], blank["wrong_person"]) == (None, None, None)
    assert (loose["own_similarity"], loose["wrong_person"], loose["nearest_identity"]) == (None, None, "bert")


def test_excluded_faces_name_the_reference():
    anna, bert = people(2)
    gallery = Gallery(photos_of(bert, 2, 5), ("lfw/b1.jpg", "lfw/b2.jpg"), 0.35)
    faces = bucket(folder("anna", *photos_of(anna, 5, 1)) + folder("bert", *photos_of(bert, 5, 2)))
    for row in relate(faces, gallery=gallery).values():
        assert (row["excluded_by"] is not None) == (row["identity"] == "bert") == (row["excluded_similarity"] > 0.35)


def test_an_empty_gallery_matches_no_face():
    assert (match(people(3), Gallery(np.empty((0, DIM), np.float32), (), 0.3)).reference == -1).all()


def test_a_dataset_of_one_photo_and_one_without_any_face():
    assert relate(bucket(folder("anna", people(1)[0])))["anna/000.jpg#0"]["wrong_person"] is None
    assert relate(bucket([("anna/blank.jpg", "anna", None)]))["anna/blank.jpg"]["main"]
