"""Photos to look at: which, in which order, and the lines of overrides.csv that are suggested."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from curate.decide.rules import Policy
from curate.overrides import read_overrides
from curate.report.doubts import find_doubts, write_tables
from curate.report.persons import mixed_identities
from manifests.schema import arrow_schema
from tests.samples.dataset import filled

SURE = {"wrong_person": 0.001, "own_similarity": 0.8, "margin": 0.5, "sharpness": 0.9, "face_count": 1, "reasons": []}


def manifest(*photos: dict[str, Any]) -> pa.Table:
    rows = []
    for index, changes in enumerate(photos):
        row = {"image_id": f"anna/{index}.jpg", "identity": "anna", "verdict_source": "policy", **SURE, **changes}
        rows.append(filled("manifest", row, index))
    return pa.Table.from_pylist(rows, arrow_schema("manifest"))


def why(*photos: dict[str, Any]) -> list[tuple[int, str]]:
    """Row and explanation of each doubt, the first one first."""
    doubts = find_doubts(manifest(*photos), Policy())
    return list(zip(doubts.rows.tolist(), doubts.why, strict=True))


def test_clear_photos_are_not_listed() -> None:
    flipped = {"wrong_person": 0.999, "margin": -0.5, "verdict": "drop", "reasons": ["other_person"]}
    blurred = {"wrong_person": 0.4, "verdict": "drop", "reasons": ["blurred"]}
    assert why({}, flipped, blurred, {"own_similarity": None}) == []


def test_the_most_doubtful_photos_come_first() -> None:
    listed = why(
        {"wrong_person": 0.12},
        {"wrong_person": 0.8, "verdict": "drop", "reasons": ["other_person"]},
        {"wrong_person": 0.45},
    )
    assert [row for row, _ in listed] == [2, 1, 0]


def test_a_face_nearer_to_another_identity_is_listed_whatever_its_probability() -> None:
    nearer = {"margin": -0.02, "nearest_identity": "bert", "wrong_person": 0.0}
    assert why(nearer) == [(0, "nearer to another identity than to its own")]
    assert why(nearer | {"same_person_as": "bert"}) == []


def test_a_doubtful_choice_among_faces_and_a_number_close_to_its_limit_are_listed() -> None:
    (group, text), (soft, other) = why({"sharpness": 0.415}, {"face_count": 3, "wrong_person": 0.06})
    assert (group, text) == (1, "one of several faces, unlike the others of its identity")
    assert (soft, other) == (0, "sharpness is close to the limit 0.41")


def test_what_a_person_decided_is_not_listed_again() -> None:
    assert why({"wrong_person": 0.4, "verdict_source": "override"}) == []


def test_folders_of_two_persons_and_where_the_second_one_belongs() -> None:
    photos = [{"person_group": 1}] * 6 + [{"person_group": 2}] * 4
    elsewhere = [{"identity": "bo", "person_group": 1 + n // 2, "suggested_identity": "cleo"} for n in range(4)]
    taken = {"identity": "anna (2)"}
    anna, bo = mixed_identities(manifest(*photos, *elsewhere, taken))
    assert (anna.name, anna.first, anna.second, anna.second_name) == ("anna", 6, 4, "anna (3)")
    assert anna.low < 0.4 == anna.share < anna.high
    assert (bo.second, bo.second_name) == (2, "cleo")


def test_the_tables_hold_lines_for_overrides(tmp_path: Path) -> None:
    photos = [{"person_group": 1}] * 3 + [{"person_group": 2, "verdict": "review"}] * 2
    table = manifest(*photos, {"wrong_person": 0.4, "suggested_identity": "bert"}, {"wrong_person": 0.3})
    write_tables(tmp_path, table, find_doubts(table, Policy()), mixed_identities(table))
    review = pd.read_csv(tmp_path / "review.csv").set_index("image_id")
    assert list(review.columns[:4]) == ["verdict", "note", "identity", "other"]
    assert list(review.index) == ["anna/3.jpg", "anna/4.jpg", "anna/5.jpg", "anna/6.jpg"]
    assert review.identity.fillna("").tolist() == ["anna (2)", "anna (2)", "bert", ""]
    assert review.verdict.fillna("").tolist() == ["move", "move", "move", ""]
    overrides = read_overrides(tmp_path / "splits.csv")
    assert overrides.moved == {"anna/3.jpg": "anna (2)", "anna/4.jpg": "anna (2)"}
    filled_in = review.reset_index()[["image_id", "verdict", "note", "identity", "other"]].dropna(subset="verdict")
    text = io.StringIO()
    filled_in.to_csv(text, index=False)
    (tmp_path / "overrides.csv").write_text(text.getvalue())
    assert set(read_overrides(tmp_path / "overrides.csv").moved.values()) == {"anna (2)", "bert"}
