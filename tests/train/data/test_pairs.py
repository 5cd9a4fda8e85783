"""train/data/pairs.py: which faces are paired, an epoch of targets, derangements."""

import numpy as np
import pytest

from manifests.errors import DatasetError
from train.data.faces import TrainingFaces
from train.data.pairs import PairSampler, derangement


@pytest.mark.parametrize(
    "people", [[0, 1], [0, 0, 1, 1], [0, 0, 0, 1, 2, 3], [5, 5, 2, 7, 7, 7, 2, 9], list(range(16))]
)
def test_a_derangement_maps_every_row_to_another_person(people: list[int]) -> None:
    person = np.array(people)
    for seed in range(20):
        order = derangement(person, np.random.default_rng(seed))
        assert order is not None
        assert sorted(order.tolist()) == list(range(len(person)))
        assert (person[order] != person).all()


def test_without_a_derangement_sources_are_any_photo_of_the_others(faces: TrainingFaces) -> None:
    assert derangement(np.array([0, 0, 1]), np.random.default_rng(0)) is None
    majority = faces.take(np.flatnonzero(np.isin(faces.person, [2, 3])))  # five faces of cid, one of dee
    rows = PairSampler(majority, 4, 0).rows(0, "cross")
    assert (majority.person[rows.targets] != majority.person[rows.sources]).all()


def test_same_person_pairs_are_two_photos_or_one_and_its_flip(faces: TrainingFaces) -> None:
    sampler = PairSampler(faces, 4, seed=1, flip=0.0)
    pairs: set[tuple[int, int]] = set()
    for index in range(40):
        rows = sampler.rows(index, "same")
        person = faces.person[rows.targets]
        assert (person == faces.person[rows.sources]).all()
        only_photo = faces.count[person] == 1
        assert ((rows.targets == rows.sources) == only_photo).all()
        assert (rows.jitter == only_photo).all()
        assert (rows.flips == only_photo).all()
        pairs |= set(zip(rows.targets.tolist(), rows.sources.tolist(), strict=True))
    assert len([target for target, _ in pairs if faces.person[target] == 2]) == 5 * 4  # every ordered pair of cid


def test_an_epoch_visits_every_face_once(faces: TrainingFaces) -> None:
    sampler = PairSampler(faces, 1, seed=2)
    first, second = (
        [sampler.rows(epoch * len(faces) + k, "cross").targets[0] for k in range(len(faces))] for epoch in (0, 1)
    )
    assert sorted(first) == sorted(second) == list(range(len(faces)))
    assert first != second


def test_a_single_person_is_refused(faces: TrainingFaces) -> None:
    with pytest.raises(DatasetError, match="only ann is left to train on"):
        PairSampler(faces.take(np.arange(4)), 4, 0)
