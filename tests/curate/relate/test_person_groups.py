"""Folders of two persons are divided, folders of one person are not."""

import numpy as np
import pytest

from curate.relate.person_groups import second_person
from curate.relate.relate import RelateSettings, relate_collection
from curate.relate.relations import relation_rows
from tests.samples.embeddings import SIMILARITY, bucket, folder, people, photos_of, photos_of_several


@pytest.mark.parametrize(("first", "second"), [(3, 2), (4, 2), (5, 5), (12, 3), (50, 50), (300, 60)])
def test_two_persons_in_one_folder_are_divided(first, second):
    persons = people(2)
    flags = second_person(photos_of_several((persons[0], first), (persons[1], second)), SIMILARITY)
    divided = np.arange(first + second) >= first
    assert np.array_equal(flags, divided) or (first == second and np.array_equal(flags, ~divided))


@pytest.mark.parametrize("count", [5, 8, 20, 100, 400])
def test_one_person_is_not_divided(count):
    for seed, person in enumerate(people(20, seed=3)):
        assert second_person(photos_of(person, count, seed), SIMILARITY) is None


def test_few_wrong_photos_and_strangers_are_no_group():
    persons = people(40)
    assert second_person(photos_of_several((persons[0], 40), (persons[1], 3)), SIMILARITY) is None
    assert second_person(photos_of_several((persons[0], 10), (persons[1], 1)), SIMILARITY) is None
    assert second_person(persons.astype(np.float32), SIMILARITY) is None
    assert second_person(np.repeat(photos_of(persons[0], 1, 1), 6, axis=0), SIMILARITY) is None


def relatives(cosine, seed=0):
    """Two persons whose mean photos have this cosine; that of photos of each is about 0.5."""
    first, second = people(2, seed)
    second -= (first @ second) * first
    share = cosine / 0.5  # of what the photos of one person have in common
    return first, share * first + np.sqrt(1 - share**2) * second / np.linalg.norm(second)


@pytest.mark.parametrize(("first", "second"), [(50, 50), (300, 150)])
def test_two_persons_who_resemble_each_other_are_divided(first, second):
    one, other = relatives(0.24)
    flags = second_person(photos_of_several((one, first), (other, second)), SIMILARITY)
    divided = np.arange(first + second) >= first
    assert np.array_equal(flags, divided) or (first == second and np.array_equal(flags, ~divided))


def test_two_looks_of_one_person_are_no_group():
    """Loose groups that are as far apart as two persons may be, but hardly further than photos of each."""
    one, other = relatives(0.26)
    photos = np.concatenate([photos_of(one, 40, 1, scatter=0.18), photos_of(other, 40, 2, scatter=0.18)])
    assert second_person(photos, SIMILARITY) is None


def test_a_stranger_in_a_folder_of_two_persons_is_in_neither_group():
    persons = people(20)
    rows = [row for i in range(10) for row in folder(f"p{i}", *photos_of(persons[i], 8, i))]
    rows += folder("q", *photos_of(persons[10], 8, 90), *photos_of(persons[11], 6, 91), *photos_of(persons[12], 1, 92))
    part = bucket(rows)
    related = relate_collection(lambda _: part, 1, RelateSettings(prior=SIMILARITY))
    table = relation_rows(part, 0, related).to_pylist()
    stranger = table[-1]
    assert [row["person_group"] for row in table if row["identity"] == "q"] == [1] * 8 + [2] * 6 + [None]
    assert stranger["wrong_person"] > 0.5


def test_the_group_of_each_photo_is_a_column():
    persons = people(12)
    rows = [row for i in range(10) for row in folder(f"p{i}", *photos_of(persons[i], 8, i))]
    rows += folder("q-two", *photos_of(persons[10], 6, 90), None, *photos_of(persons[11], 4, 91))
    part = bucket(rows)
    related = relate_collection(lambda _: part, 1, RelateSettings(prior=SIMILARITY))
    table = relation_rows(part, 0, related).to_pylist()
    groups = [row["person_group"] for row in table if row["identity"] == "q-two"]
    assert groups == [1] * 6 + [None] + [2] * 4
    assert {row["person_group"] for row in table if row["identity"] != "q-two"} == {None}
