"""Selection of judged faces and sampling of pairs: people are treated equally however many photos they have."""

from pathlib import Path

import numpy as np
import pytest

from manifests.errors import DatasetError
from manifests.identity import is_held_out
from manifests.reader import Dataset
from tests.conftest import Cleaned
from train.config import Recipe, load_recipe
from train.data.faces import TrainingFaces, read_training_faces
from train.judge.pairs import PairSet, sample_pairs, select_faces, select_people

HELD_OUT = ("n000004", "n000007", "n000008")
"""People of the demo who are held out, by the hash of their names, at a share of one half."""


def faces_of(counts: list[int]) -> TrainingFaces:
    """Faces without pixels: so many of each person."""
    total = sum(counts)
    zeros = np.zeros(total, np.int64)
    return TrainingFaces(
        Path("x"), 224, [f"p{k}" for k in range(len(counts))], ["s"],
        np.array([f"f{k}" for k in range(total)], object),
        np.repeat(np.arange(len(counts)), counts), zeros, zeros, zeros, zeros, zeros, zeros, zeros,
        np.zeros((total, 4), np.float32), np.zeros((total, 2, 3)), np.zeros((total, 5, 2), np.float32),
    )  # fmt: skip


def people(**changes: object) -> Recipe:
    """A recipe for the first two people of `faces_of`."""
    return load_recipe("people", people="p0,p1", **{"held_out_photos": 0.0} | changes)


def test_people_whom_every_training_held_out_are_judged_on(cleaned: Cleaned) -> None:
    judged = select_faces(
        read_training_faces(Dataset.open(cleaned.out), "simswap-224"), [Recipe(held_out=0.5), Recipe(held_out=0.9)]
    )
    assert tuple(judged.faces.people) == HELD_OUT
    assert judged.held_out
    assert judged.note.startswith("3 held-out people")


def test_everyone_is_judged_on_where_fewer_than_two_were_held_out(cleaned: Cleaned) -> None:
    faces = read_training_faces(Dataset.open(cleaned.out), "simswap-224")
    judged = select_faces(faces, [Recipe(held_out=0.0)])
    assert len(judged.faces) == len(faces)
    assert not judged.held_out
    assert "the training held no one out" in judged.note
    assert "only 1 of them was held out" in select_faces(faces, [Recipe(held_out=0.1)]).note


def test_named_people_are_judged_on_photos_that_were_held_out_in_a_gallery_of_everyone() -> None:
    faces = faces_of([300, 300, 300])
    judged = select_faces(faces, [people(held_out_photos=0.5), people(held_out_photos=0.2)])
    assert judged.faces.count.tolist() == [20, 20, 20]
    assert judged.swapped.tolist() == list(range(40))
    assert judged.held_out
    assert np.isin(judged.faces.face_id[:40], faces.face_id[faces.held_out(0, 0.2)]).all()
    assert judged.note == "40 held-out photos of the 2 named people, 3 in the gallery"
    pairs = PairSet.sample(judged, "simswap-224", 224, 30)
    assert set(faces.person[pairs.cross.targets]) <= {0, 1}
    assert not select_faces(faces, [people()]).held_out
    with pytest.raises(DatasetError, match=r"named people \(p0, p1\), it has no one, and swapping takes two"):
        select_faces(faces.take(np.arange(600, 900)), [people()])


def test_a_person_has_at_most_twenty_evenly_spaced_faces() -> None:
    judged = select_faces(faces_of([300, 4, 20, 21, 1]), [Recipe(held_out=0.0)])
    assert judged.faces.count.tolist() == [20, 4, 20, 20, 1]
    assert judged.note.startswith("all 5 people, 65 photos")
    rows = np.flatnonzero(np.isin(faces_of([300]).face_id, judged.faces.face_id[:20]))
    assert np.diff(rows).max() == 15


def test_pairs_take_people_in_turn_however_many_photos_they_have() -> None:
    faces = faces_of([300, 4, 5, 2, 1])
    cross, same = sample_pairs(faces, "cross", 100), sample_pairs(faces, "same", 40)
    assert cross is not None
    assert same is not None
    for rows in (cross.targets, cross.first_sources):
        assert np.bincount(faces.person[rows]).min() >= 15
    assert (faces.person[cross.targets] != faces.person[cross.first_sources]).all()
    assert np.bincount(faces.person[same.targets]).tolist() == [13, 12, 13, 2]
    for pairs in (cross, same):
        assert len(set(zip(pairs.targets.tolist(), pairs.first_sources.tolist(), strict=True))) == len(pairs.targets)
    repeated = sample_pairs(faces, "cross", 100)
    assert repeated is not None
    assert np.array_equal(repeated.sources, cross.sources)


def test_there_are_at_most_as_many_pairs_as_the_faces_form() -> None:
    cross = sample_pairs(faces_of([2, 1]), "cross", 500)
    assert cross is not None
    assert len(cross.targets) == 4
    assert sample_pairs(faces_of([1, 1]), "same", 500) is None
    assert sample_pairs(faces_of([4]), "cross", 500) is None


def test_a_swap_has_as_many_source_photos_as_asked_or_as_its_person_has() -> None:
    faces = faces_of([9, 2, 1])
    cross = sample_pairs(faces, "cross", 40, sources=3)
    assert cross is not None
    for sources in cross.sources:
        photos = sources[sources >= 0]
        assert len(photos) == len(set(photos)) == min(3, faces.count[faces.person[photos[0]]])
        assert (faces.person[photos] == faces.person[photos[0]]).all()
    values = np.arange(12.0)[:, None]
    np.testing.assert_allclose(cross.source_means(values)[:, 0], [s[s >= 0].mean() for s in cross.sources])
    same = sample_pairs(faces, "same", 40, sources=3)
    assert same is not None
    assert not (same.sources == same.targets[:, None]).any()
    one = sample_pairs(faces, "cross", 40, seed=1)
    assert one is not None
    assert not np.array_equal(one.targets, cross.targets)


def test_the_gallery_takes_other_people_where_more_are_asked_for() -> None:
    faces = faces_of([4] * 12)
    share = 0.35
    judged = select_people(faces, share, gallery_people=9)
    swapped = {judged.faces.people[p] for p in judged.faces.person[judged.swapped]}
    assert swapped == {name for name in faces.people if is_held_out(name, share)}
    assert len(judged.faces.people) == 9
