"""RULES: each measurement beyond its threshold gives its reason, and every rule is complete."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from curate.decide.policy import load_policy
from curate.decide.rule import Columns, Flags, Rule
from curate.decide.rules import RULES, Policy
from manifests.schema import MANIFEST, REASONS
from tests.samples.photos import GOOD, decided

CASES: list[tuple[dict[str, Any], str]] = [
    ({"error": "not an image", "face_id": None}, "undecodable"),
    ({"face_id": None}, "no_face"),
    ({"eye_distance": 15.0}, "too_small"),
    ({"eye_distance": 14.0, "yaw": 20.0}, "too_small"),
    ({"eye_distance": 7.0, "yaw": 80.0}, "too_small"),
    ({"upscale": 9.0}, "too_small"),
    ({"inside": 0.29}, "cut_off"),
    ({"right_mouth_y": 400.0}, "cut_off"),
    ({"left_eye_x": -1.0}, "cut_off"),
    ({"sharpness": 0.40}, "blurred"),
    ({"stretch": 1.4}, "stretched"),
    ({"stretch": 0.7}, "stretched"),
    ({"flat_fraction": 0.5}, "corrupt_pixels"),
    ({"corruption": 0.2}, "corrupt_pixels"),
    ({"flat_rows": 0.4}, "corrupt_pixels"),
    ({"clipped_dark": 0.6}, "too_dark"),
    ({"brightness": 20.0, "local_contrast": 1.0}, "too_dark"),
    ({"clipped_bright": 0.6}, "too_bright"),
    ({"wrong_person": 0.5}, "other_person"),
    ({"identity_purity": 0.1}, "mixed_identity"),
    ({"excluded_by": "lfw/x.jpg", "excluded_similarity": 0.6}, "excluded"),
]


@pytest.mark.parametrize(("changes", "reason"), CASES)
def test_a_measurement_beyond_its_threshold_gives_its_reason_and_no_other(changes, reason):
    (row,) = decided(changes)
    assert (row["verdict"], row["verdict_source"], row["reasons"]) == ("drop", "policy", [reason])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sharpness": 0.42}, "soft"),
        ({"sharpness": 0.59}, "soft"),
        ({"wrong_person": 0.1}, "uncertain_person"),
        ({"wrong_person": 0.49}, "uncertain_person"),
        ({"wrong_person": 0.011, "margin": -0.01, "nearest_identity": "bert"}, "uncertain_person"),
        ({"wrong_person": 0.006, "face_count": 3}, "uncertain_person"),
        ({"wrong_person": 0.9, "person_group": 2}, "second_person"),
    ],
)
def test_a_doubt_is_reviewed_not_dropped(changes, reason):
    (row,) = decided(changes)
    assert (row["verdict"], row["keep"], row["reasons"]) == ("review", False, [reason])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"person_group": 1},
        {"wrong_person": 0.004, "face_count": 3},
        {"wrong_person": 0.009, "margin": -0.01, "nearest_identity": "bert"},
        {"margin": -0.01, "nearest_identity": "bert", "same_person_as": "bert"},  # two folders of one person
        {"identity": ".", "wrong_person": 0.3, "margin": -0.5},
        {"eye_distance": 16.0, "upscale": 8.0, "sharpness": 0.601, "brightness": 30.0},
        {"eye_distance": 11.4, "yaw": -45.0},  # 16.1 px if the head were not turned
        {  # the same by the distance to the mouth, whatever the yaw
            "eye_distance": 8.0,
            "yaw": 20.0,
            "left_eye_x": 100.0,
            "left_eye_y": 50.0,
            "right_eye_x": 108.0,
            "right_eye_y": 50.0,
            "left_mouth_x": 100.0,
            "left_mouth_y": 69.0,
            "right_mouth_x": 108.0,
            "right_mouth_y": 69.0,
        },
        {"inside": 0.3, "left_eye_x": -0.4, "right_mouth_y": 399.4},
        {"brightness": 15.0},  # dark skin with local contrast
        {"eyes_covered": 1.0, "mouth_covered": 1.0, "sunglasses": 1.0},  # not a matter of the default policy
        {"stretch": 1.4, "stretch_error": 0.2},  # within the error of the measurement
        {"identity": ".", "wrong_person": 0.9, "identity_purity": 0.0},  # a photo without an identity
        dict.fromkeys(set(GOOD) - {"sha256", "main", "face_count"}),  # missing measurements
    ],
)
def test_other_photos_are_kept(changes):
    (row,) = decided(changes)
    assert (row["verdict"], row["reasons"]) == ("keep", [])


@pytest.mark.parametrize(("column", "value"), [("eyes_covered", 0.5), ("mouth_covered", 0.5), ("sunglasses", 0.6)])
def test_covered_faces_are_dropped_by_the_strict_policy(column, value):
    policy = load_policy("strict")
    covered, unknown = decided({column: value}, {column: None}, policy=policy)
    assert (covered["verdict"], covered["reasons"]) == ("drop", ["occluded"])
    assert unknown["reasons"] == []


def test_all_reasons_are_listed_in_the_order_of_the_rules():
    (row,) = decided({"wrong_person": 0.9, "sharpness": 0.1, "eye_distance": 5.0})
    assert row["reasons"] == ["too_small", "blurred", "other_person"]


def test_keep_all_drops_only_photos_that_cannot_be_used():
    worst = {
        "eye_distance": 1.0, "upscale": 99.0, "sharpness": 0.0, "stretch": 5.0, "corruption": 1.0, "flat_rows": 1.0,
        "flat_fraction": 1.0, "brightness": 0.0, "local_contrast": 0.0, "clipped_dark": 1.0, "clipped_bright": 1.0,
        "wrong_person": 1.0, "identity_purity": 0.0, "excluded_by": "x", "excluded_similarity": 1.0,
        "duplicate_group": 7, "inside": 0.0, "nose_x": -9.0,
    }  # fmt: skip
    rows = decided(worst, worst, {"face_id": None}, policy=load_policy("keep-all"))
    assert [row["reasons"] for row in rows] == [[], [], ["no_face"]]


def test_the_rules_cover_the_reasons_of_the_manifest_and_every_key_of_the_policy():
    assert tuple(rule.reason for rule in RULES) == REASONS
    assert {key for rule in RULES for key in rule.keys} == {entry.name for entry in fields(Policy)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_a_rule_is_explained_and_names_columns_of_the_manifest(rule):
    columns = {column.name for column in MANIFEST}
    assert rule.meaning
    assert {*rule.columns, *rule.shown, *(chart.column for chart in rule.charts)} <= columns
    for chart in rule.charts:
        assert chart.low < chart.high
        assert all(np.isfinite(limit) for limit in chart.limits(Policy()))


def _turned_away(photos: Columns, policy: Policy) -> Flags:
    return np.abs(photos.number("yaw")) > 60


PROFILE = Rule("profile", "the head is turned far to the side", ("yaw",), (), _turned_away, shown=("yaw",))


def test_a_rule_of_your_own_adds_a_reason():
    front, side, unmeasured = decided({"yaw": 10.0}, {"yaw": -70.0, "sharpness": 0.1}, {}, rules=(*RULES, PROFILE))
    assert (front["reasons"], side["reasons"], unmeasured["reasons"]) == ([], ["blurred", "profile"], [])


def test_a_rule_of_your_own_decides_which_copy_is_kept():
    copy = {"duplicate_group": 1}
    side, front = decided({**copy, "yaw": 70.0}, {**copy, "eye_distance": 30.0}, rules=(*RULES, PROFILE))
    assert (side["reasons"], side["duplicate_of"]) == (["duplicate", "profile"], front["image_id"])


def test_a_rule_must_declare_the_columns_that_it_reads():
    undeclared = Rule("profile", "", (), (), _turned_away)
    with pytest.raises(KeyError, match="'profile' reads 'yaw': add it to the rule's columns"):
        decided({}, rules=(undeclared,))
    unknown = Rule("freckles", "", ("freckles",), (), lambda photos, policy: photos.number("freckles") > 0)
    with pytest.raises(KeyError, match="'freckles', which is neither measured nor related"):
        decided({}, rules=(unknown,))
