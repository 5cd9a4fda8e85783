"""`curate select`: a list, the coverage of each person, and a page; the dataset is unchanged."""

import csv
from pathlib import Path

import pytest

from curate.cli import app
from curate.select import SelectRequest, plan, run
from curate.select.candidates import batches
from manifests.errors import DatasetError, OutputError
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.selection import read_selection
from tests.conftest import Cleaned
from tests.curate.report.test_report import Page
from tests.samples.dataset import edit_manifest, write_pair


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_demo_is_selected(cleaned: Cleaned, tmp_path: Path) -> None:
    out = tmp_path / "chosen"
    manifest = (cleaned.out / "manifest.parquet").read_bytes()
    selected = run(plan(SelectRequest(cleaned.out, 3, out)))
    lines, people = rows(out / "selection.csv"), rows(out / "people.csv")
    kept = Dataset.open(cleaned.out).manifest(["image_id", "identity"], keep=True).to_pylist()
    assert selected.photos == len(lines)
    assert {line["image_id"] for line in lines} <= {row["image_id"] for row in kept}
    for person in people:
        of_person = [row for row in kept if row["identity"] == person["identity"]]
        assert (int(person["kept"]), int(person["chosen"])) == (len(of_person), min(3, len(of_person)))
    assert [line["rank"] for line in lines][:3] == ["1", "2", "3"]
    assert len(read_selection(selected.selection).image_ids) == len(lines)
    page = Page(out / "index.html")
    assert not page.open
    assert not page.all("script")
    files = {f"pictures/{path.name}" for path in (out / "pictures").iterdir()}
    assert {image["src"] for image in page.all("img")} == files
    assert (cleaned.out / "manifest.parquet").read_bytes() == manifest
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with OutputLock(tmp_path):  # a selection outside of the dataset needs no lock of the folder that it is in
        run(plan(SelectRequest(cleaned.out, 3, out)))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == first
    assert not list(tmp_path.glob(".*"))


def test_one_person_and_a_missing_one(cleaned: Cleaned, tmp_path: Path) -> None:
    name = Dataset.open(cleaned.out).manifest(["identity"], keep=True)["identity"][0].as_py()
    assert run(plan(SelectRequest(cleaned.out, 2, tmp_path / "out", (name,)))).people == 1
    with pytest.raises(DatasetError, match="no kept photo of 'zoe'"):
        plan(SelectRequest(cleaned.out, 2, tmp_path / "out", ("zoe",)))


def test_a_folder_of_other_files_is_refused(cleaned: Cleaned, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match="something else than a selection: choose another --out"):
        plan(SelectRequest(cleaned.out, 2, tmp_path))


def test_a_dataset_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    root, _ = write_pair(tmp_path)
    for image_id in Dataset.open(root).manifest(["image_id"])["image_id"].to_pylist():
        edit_manifest(root, image_id, verdict="drop")
    with pytest.raises(DatasetError, match="no photo with a face is kept"):
        plan(SelectRequest(root, 2))


def test_batches_hold_whole_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = write_pair(tmp_path)
    monkeypatch.setattr("curate.select.candidates.BATCH_FACES", 4)
    kept = Dataset.open(root).manifest(keep=True)
    parts = [sorted(set(part["identity"].to_pylist())) for part in batches(kept)]
    assert sorted(parts) == [["ann"], ["bob"]]


def test_the_command_prints_where_the_list_is(cleaned: Cleaned, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, ["select", str(cleaned.out), "--per-person", "2", "--out", str(tmp_path / "two")])
    assert done.exit_code == 0, done.output
    assert f"selection: {tmp_path / 'two' / 'selection.csv'}" in done.output
