"""Groups of linked photos, and the best photo of a group."""

import numpy as np
import pytest

from curate.relate.groups import group_pairs
from curate.relate.photo_quality import best_first


def always(pairs):
    return np.ones(len(pairs), bool)


def test_groups_are_transitive_and_numbered_after_the_best_photo():
    links = np.array([[1, 2], [2, 5], [7, 8]])
    rank = np.array([9, 3, 2, 9, 9, 1, 9, 5, 4])
    rows, group = group_pairs(links, always, rank)
    assert rows.tolist() == [1, 2, 5, 7, 8]
    assert group.tolist() == [5, 5, 5, 8, 8]


def test_a_chain_of_gradually_changing_pictures_is_not_one_group():
    chain = np.array([[i, i + 1] for i in range(5)])
    rows, group = group_pairs(chain, lambda pairs: np.abs(pairs[:, 0] - pairs[:, 1]) <= 1, np.arange(6))
    assert dict(zip(rows.tolist(), group.tolist(), strict=True)) == {0: 0, 1: 0, 2: 2, 3: 2, 4: 4, 5: 4}


def test_no_pairs_form_no_groups():
    rows, group = group_pairs(np.empty((0, 2), np.int64), always, np.arange(3))
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
    default = {"eye_distance": 50, "sharpness": 0.5, "file_size": 1000, "name": 1}
    photos = {name: np.array([value, changed.get(name, value)]) for name, value in default.items()}
    assert best_first(**photos).tolist()[0] == first
