"""The photo that is kept of each duplicate group."""

import pytest

from tests.samples.photos import decided

COPY = {"duplicate_group": 7}


def test_the_best_copy_is_kept_and_the_others_refer_to_it():
    small, best, same = decided(
        {**COPY, "copy_rank": 2, "sha256": "a" * 64},
        {**COPY, "copy_rank": 0, "sha256": "b" * 64},
        {**COPY, "copy_rank": 1, "sha256": "b" * 64},
    )
    keys = ("reasons", "duplicate_of", "duplicate_kind")
    assert [best[key] for key in keys] == [[], None, None]
    assert [small[key] for key in keys] == [["near_duplicate"], "anna/1.jpg", "near"]
    assert [same[key] for key in keys] == [["duplicate"], "anna/1.jpg", "exact"]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ({"copy_rank": 1}, {"copy_rank": 0}, "anna/1.jpg"),
        ({}, {}, "anna/0.jpg"),
        ({"own_similarity": 0.1}, {"identity": "bert", "own_similarity": 0.8}, "anna/1.jpg"),
        ({"own_similarity": None}, {"identity": "bert", "own_similarity": 0.1}, "anna/1.jpg"),
    ],
    ids=["better copy", "first", "similar to its identity", "measured similarity"],
)
def test_the_better_photo_is_kept(first, second, kept):
    rows = decided({**COPY, **first}, {**COPY, **second})
    assert [row["image_id"] for row in rows if row["duplicate_of"] is None] == [kept]


def test_where_another_reason_drops_the_best_copy_the_next_one_is_kept():
    best, second = decided({**COPY, "sharpness": 0.1}, {**COPY})
    assert (second["verdict"], second["duplicate_of"]) == ("keep", None)
    assert (best["reasons"], best["duplicate_of"]) == (["blurred", "duplicate"], "anna/1.jpg")


def test_a_copy_without_doubts_is_kept_before_one_to_review():
    best, second = decided({**COPY, "wrong_person": 0.3}, {**COPY, "eye_distance": 30.0})
    assert (best["reasons"], best["verdict"]) == (["uncertain_person", "duplicate"], "drop")
    assert (second["verdict"], second["duplicate_of"]) == ("keep", None)


def test_an_enlargement_does_not_win_because_the_original_is_softer_by_a_little():
    soft, sharp = {"copy_rank": 0, "sharpness": 0.59}, {"copy_rank": 1, "sharpness": 0.61}
    original, enlarged = decided({**COPY, **soft}, {**COPY, **sharp})
    assert (original["verdict"], original["reasons"], original["duplicate_of"]) == ("review", ["soft"], None)
    assert enlarged["duplicate_of"] == "anna/0.jpg"


def test_where_other_reasons_drop_all_copies_none_is_kept():
    rows = decided({**COPY, "sharpness": 0.1, "copy_rank": 1}, {**COPY, "sharpness": 0.2, "copy_rank": 0})
    assert [row["verdict"] for row in rows] == ["drop", "drop"]
    assert [row["duplicate_of"] for row in rows] == ["anna/1.jpg", None]


def test_a_copy_with_an_override_to_keep_is_the_kept_one():
    best, human = decided({**COPY}, {**COPY}, human={"anna/1.jpg": "keep"})
    assert (best["reasons"], best["duplicate_of"]) == (["duplicate"], "anna/1.jpg")
    assert (human["verdict"], human["verdict_source"]) == ("keep", "override")
