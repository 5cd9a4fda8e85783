"""`curate diff`: photos whose verdict another decision changes."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from curate.decide.rules import Policy
from curate.decide.view import make_view
from curate.diff import DiffRequest, plan, run
from curate.errors import PolicyError
from manifests.errors import DatasetError, OutputError
from manifests.layout import CALIBRATION_HASH
from manifests.reader import Dataset, read_table
from manifests.schema import arrow_schema
from manifests.table_file import footer
from manifests.writer import write_table
from tests.conftest import Cleaned
from tests.curate.report.test_report import HOSTILE, Page, dataset, face, photo

STRICTER = replace(Policy(), min_eye_distance=60.0)


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["image_id"]: row for row in csv.DictReader(file)}


def test_a_policy_and_a_view_decided_by_it_give_the_same_differences(cleaned: Cleaned, tmp_path: Path) -> None:
    manifest = (cleaned.out / "manifest.parquet").read_bytes()
    by_policy = run(plan(DiffRequest(cleaned.out, policy=STRICTER, out=tmp_path / "a")))
    view = make_view(cleaned.out, STRICTER, tmp_path / "view")
    run(plan(DiffRequest(cleaned.out, view.path, out=tmp_path / "b")))
    table = rows(tmp_path / "a/diff.csv")
    assert table == rows(tmp_path / "b/diff.csv")
    assert (cleaned.out / "manifest.parquet").read_bytes() == manifest
    before, after = (
        {row["image_id"]: row["verdict"] for row in Dataset.open(path).manifest(["image_id", "verdict"]).to_pylist()}
        for path in (cleaned.out, view.path)
    )
    changed = {image_id for image_id, verdict in before.items() if after[image_id] != verdict}
    assert changed
    assert table.keys() == changed
    assert all("too_small" in row["reasons_after"] for row in table.values() if row["after"] == "drop")
    assert f"another verdict: {by_policy.flips.changed} of {len(before)} photos" in by_policy.lines()
    page = Page(tmp_path / "a/index.html")
    keys = [{key.name: key.value for key in policy.describe()} for policy in (Policy(), STRICTER)]
    default, stricter = (values["min_eye_distance"] for values in keys)
    assert f"min_eye_distance{default}{stricter}" in page.text.replace("\n", "")
    assert {image["src"] for image in page.all("img")} == {
        f"pictures/{path.name}" for path in (tmp_path / "a/pictures").iterdir()
    }
    assert not page.open
    assert not page.all("script")


def test_flips_are_grouped_by_the_reasons_that_came_and_went(tmp_path: Path) -> None:
    before = [face(f"a/{k}.jpg", "a", sharpness=0.1 * k) for k in range(4)] + [photo("a/x.jpg", "a", "no_face")]
    after = [
        face("a/0.jpg", "a", "blurred", sharpness=0.0),
        face("a/1.jpg", "a", "blurred", sharpness=0.1),
        face("a/2.jpg", "a", "uncertain_person"),
        face("a/3.jpg", "b"),
        face("a/y.jpg", "a"),
    ]
    first, second = dataset(tmp_path / "one", before), dataset(tmp_path / "two", after)
    flips = run(plan(DiffRequest(first, second))).flips
    assert [(group.before, group.after, group.why, len(group.rows)) for group in flips.groups] == [
        ("keep", "drop", "blurred", 2),
        ("keep", "review", "uncertain person", 1),
    ]
    assert (flips.changed, flips.moved, flips.only_before, flips.only_after) == (3, 1, 1, 1)
    assert flips.reasons == {"blurred": (0, 2), "uncertain_person": (0, 1)}
    assert (first / "diff/index.html").is_file()


def test_equal_decisions_have_no_difference_and_names_are_escaped(tmp_path: Path) -> None:
    root = dataset(tmp_path / "set", [face(f"{HOSTILE}/1.jpg", HOSTILE), face("b/1.jpg", "b", "blurred")])
    assert run(plan(DiffRequest(root, root))).lines() == ["another verdict: 0 of 2 photos"]
    other = dataset(tmp_path / "other", [face(f"{HOSTILE}/1.jpg", HOSTILE, "blurred"), face("b/1.jpg", "b", "blurred")])
    run(plan(DiffRequest(root, other, out=tmp_path / "diff")))
    page = Page(tmp_path / "diff/index.html")
    assert not page.all("script")
    assert HOSTILE in page.text


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    root = dataset(tmp_path / "set", [face("a/1.jpg", "a")])
    with pytest.raises(ValueError, match="either a second dataset or a policy"):
        DiffRequest(root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/holiday.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match="something else than a comparison"):
        plan(DiffRequest(root, root, out=tmp_path / "full"))
    with pytest.raises(DatasetError, match="not a curated dataset"):
        plan(DiffRequest(root, tmp_path / "nothing"))
    path = root / "manifest.parquet"
    write_table(path, read_table(path), arrow_schema("manifest"), (footer(path) or {}) | {CALIBRATION_HASH: "c"})
    with pytest.raises(PolicyError, match="give the same one as --calibration"):
        plan(DiffRequest(root, policy=STRICTER))
