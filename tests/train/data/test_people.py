"""Selection of the people of a training, and their mean latents."""

from dataclasses import replace

import numpy as np
import pytest

from manifests.errors import DatasetError
from tests.train.judge.test_pairs import faces_of
from train.data.faces import TrainingFaces
from train.data.people import few_photos, mean_latents, select_people, spreads


def test_named_people_are_taken_whatever_their_number_of_photos(faces: TrainingFaces) -> None:
    selected = select_people(faces, ["dee", "ann"])
    assert list(selected.people) == ["ann", "dee"]
    assert selected.count.tolist() == [4, 1]
    assert few_photos(selected) == "few photos (ann 4, dee 1): expect stiff expressions below 150 photos of a person"


def test_without_names_people_with_enough_photos_are_taken(
    faces: TrainingFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.data.people.MIN_PHOTOS", 4)
    assert list(select_people(faces, []).people) == ["ann", "cid"]
    unnamed = replace(faces, people=["./a.jpg#0", *faces.people[1:]])
    with pytest.raises(DatasetError, match=r"cid to train on, and swapping takes two people: add photos, or name"):
        select_people(unnamed, [])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ann", "bobb"], r"no kept photo of 'bobb'; did you mean 'bob'\?"),
        (["ann", "zoe"], r"no kept photo of 'zoe'; it has cid, ann, bob, dee$"),
        (["ann"], "ann to train on, and swapping takes two people: name two or more"),
    ],
)
def test_people_that_cannot_be_trained_on_are_named(faces: TrainingFaces, names: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        select_people(faces, names)


def test_a_name_with_a_comma_is_refused(faces: TrainingFaces) -> None:
    renamed = replace(faces, people=["ann, the first", *faces.people[1:]])
    with pytest.raises(DatasetError, match=r"'ann, the first' cannot be named in a recipe.*rename the folder"):
        select_people(renamed, ["ann, the first", "bob"])


def test_mean_latents_have_unit_norm_in_the_order_of_the_names(faces: TrainingFaces) -> None:
    latents = np.eye(16, dtype=np.float16)[: len(faces)]
    means = mean_latents(faces, latents, ["cid", "ann"])
    assert np.allclose(np.linalg.norm(means, axis=1), 1)
    assert np.allclose(means[1], [0.5] * 4 + [0] * 12)
    with pytest.raises(DatasetError, match="every photo of 'eve' is held out: lower held_out_photos"):
        mean_latents(faces, latents, ["ann", "eve"])


def test_the_spread_is_the_median_distance_from_the_mean_latent(faces: TrainingFaces) -> None:
    latents = np.repeat(np.eye(16, dtype=np.float16)[:1], len(faces), 0)
    first = np.flatnonzero(faces.person == 0)
    latents[first[0]] = np.eye(16)[1]  # a photo of another person
    means = np.repeat(np.eye(16, dtype=np.float32)[:1], len(faces.people), 0)
    centre = np.zeros(16, np.float32)
    assert np.allclose(spreads(faces, latents, means, centre), 0, atol=1e-6)
    centre[1] = 0.5
    latents[first] = np.eye(16)[2]
    # cos((e2 - e1 / 2), (e0 - e1 / 2)) = 1/4 / (5/4)
    assert np.allclose(spreads(faces, latents, means, centre)[0], 0.8)


def test_held_out_photos_are_a_share_of_each_persons() -> None:
    many = faces_of([1000, 1000])
    held_out = many.held_out(0, 0.1)
    assert 70 < held_out[:1000].sum() < 130
    assert 70 < held_out[1000:].sum() < 130
    assert (many.held_out(0, 0.2) >= held_out).all()
    assert not many.held_out(0).any()
