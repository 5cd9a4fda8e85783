"""decide_collection: one row per photo, overrides, and the same verdicts however a collection is split."""

from dataclasses import replace

import pytest

from curate.decide.collection import TablePart, decide_collection
from curate.decide.rules import Policy
from tests.samples.photos import AS_GIVEN, decided, tables


def test_a_photo_is_represented_by_its_main_face():
    group = {"image_id": "anna/group.jpg"}
    rows = decided({**group, "main": False, "wrong_person": 0.9}, {**group, "face_id": "anna/group.jpg#1"})
    assert [(row["face_id"], row["verdict"]) for row in rows] == [("anna/group.jpg#1", "keep")]


def test_overrides_take_precedence_and_the_reasons_stay():
    kept, dropped = decided({"sharpness": 0.1}, {}, human={"anna/0.jpg": "keep", "anna/1.jpg": "drop"})
    assert (kept["verdict"], kept["verdict_source"], kept["reasons"]) == ("keep", "override", ["blurred"])
    assert (dropped["verdict"], dropped["verdict_source"], dropped["reasons"]) == ("drop", "override", [])


def test_a_reason_to_review_yields_to_a_reason_to_drop_and_to_an_override():
    doubtful = {"wrong_person": 0.3}
    review, drop, kept, by_hand = decided(
        doubtful, doubtful | {"sharpness": 0.1}, doubtful, {}, human={"anna/2.jpg": "keep", "anna/3.jpg": "review"}
    )
    assert (review["verdict"], review["keep"], review["reasons"]) == ("review", False, ["uncertain_person"])
    assert (drop["verdict"], drop["reasons"]) == ("drop", ["blurred", "uncertain_person"])
    assert (kept["verdict"], kept["keep"]) == ("keep", True)
    assert (by_hand["verdict"], by_hand["keep"], by_hand["verdict_source"]) == ("review", False, "override")


def test_the_policy_may_use_photos_to_review():
    rows = decided({"wrong_person": 0.3}, {"wrong_person": 0.6}, policy=replace(AS_GIVEN, keep_review=True))
    assert [(row["verdict"], row["keep"]) for row in rows] == [("review", True), ("drop", False)]


def test_parts_and_batches_do_not_change_verdicts(monkeypatch):
    photos = [{"duplicate_group": k // 3, "eye_distance": 15.0 + k} for k in range(9)]
    whole = TablePart(*tables(*photos))
    measures, relations = whole.tables()
    parts = [TablePart(measures.slice(k, 3), relations.slice(k, 3)) for k in (0, 3, 6)]
    expected = decide_collection([whole], AS_GIVEN).table()
    assert decide_collection(parts, AS_GIVEN).table().equals(expected)
    monkeypatch.setattr("curate.decide.collection.BATCH_ROWS", 1)
    collection = decide_collection(parts, AS_GIVEN)
    assert [table.num_rows for table in collection.tables()] == [3, 3, 3]
    assert collection.table().equals(expected)


def test_the_sharpness_limits_do_not_depend_on_the_template():
    """`upscale` is that of the stored crop: of crops of half the side it is half as large."""
    photos = [{"sharpness": 0.6, "upscale": 3.0, "resolution": 1.0}] * 12
    standard = TablePart(*tables(*photos))
    half = TablePart(*tables(*(photo | {"upscale": 1.5} for photo in photos)), "simswap-112")
    limits = [decide_collection([part], Policy()).sharpness_limits for part in (standard, half)]
    assert limits[0] == limits[1]
    assert limits[0] != decide_collection([TablePart(*half.tables())], Policy()).sharpness_limits


def test_the_sharpness_limit_adapts_to_the_main_faces_of_the_whole_collection():
    """Faces in the background are blurred more often, and are not what the verdict is about."""
    soft = [TablePart(*tables(*({"sharpness": 0.55 + k / 1000} for k in range(9))))] * 6
    behind = [TablePart(*tables(*({"sharpness": 0.99, "main": False} for _ in range(9))))] * 20
    assert decide_collection(soft, AS_GIVEN).sharpness_limits.typical == 0.41
    adapted = decide_collection([*soft, *behind], Policy())
    assert adapted.sharpness_limits == decide_collection(soft, Policy()).sharpness_limits
    assert adapted.sharpness_limits.typical < 0.38
    assert set(adapted.table()["verdict"].to_pylist()) == {"keep"}
    limits = adapted.table()["sharpness_limit"].to_pylist()
    assert limits == [pytest.approx(adapted.sharpness_limits.typical)] * len(limits)
