"""The listing that `curate plan` freezes: parts measure it, on every store, without listing the source again."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate.application import app
from curate.errors import DatasetError
from curate.measure import MeasureRequest, plan, run, settings
from curate.measure.measure import freeze
from curate.measure.part import Part
from curate.measure.request import recorded_request
from curate.measure.shards import entries_of
from curate.sources import Entry
from curate.sources.stores.directory import DirectoryStore
from manifests.errors import BusyError
from manifests.layout import read_info
from manifests.output import OutputLock
from tests.curate.measure.test_measure import RecordingEngine
from tests.samples.sources import MAKE, make_directory

PHOTOS = tuple(f"{name}/{k}.jpg" for name in ("anna", "bert", "cleo", "dora") for k in range(3))


@pytest.fixture(params=MAKE)
def request_(request: pytest.FixtureRequest, tmp_path: Path) -> MeasureRequest:
    root = MAKE[request.param](tmp_path / "photos", *PHOTOS, "cleo/notes.txt", "loose.jpg")
    return MeasureRequest(
        layout="folder", root=root, out=tmp_path / "out", models="builtin", device="cpu", buckets=3, identities="first"
    )


def entries(request: MeasureRequest) -> list[Entry]:
    """All photos of a request, in the order of the shards."""
    measure_plan = plan(request)
    source = measure_plan.job.open_source()
    return [entry for shard in measure_plan.shards for entry in entries_of(source, shard.identities)]


def test_a_planned_dataset_is_measured_as_the_source_is(request_: MeasureRequest) -> None:
    live = plan(request_)
    assert freeze(request_).shards == live.shards
    recorded = recorded_request(request_.out)
    assert recorded.planned
    assert plan(recorded).shards == live.shards
    assert entries(recorded) == entries(request_)
    assert read_info(request_.out).source.ignored == {".txt": 1}


def test_parts_are_all_shards(request_: MeasureRequest) -> None:
    freeze(request_)
    for planned in (True, False):
        parts = [plan(replace(request_, planned=planned, part=Part(index, 2))).shards for index in range(2)]
        assert (
            sorted((shard for part in parts for shard in part), key=lambda shard: shard.bucket) == plan(request_).shards
        )


def test_a_part_does_not_list_the_source(request_: MeasureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    freeze(request_)
    expected = entries(request_)
    monkeypatch.delattr(DirectoryStore, "photos")
    monkeypatch.delattr(DirectoryStore, "folders")
    assert entries(recorded_request(request_.out)) == expected


def test_a_measurement_that_lists_the_source_replaces_the_listing(request_: MeasureRequest) -> None:
    freeze(request_)
    run(plan(replace(request_, part=Part(0, 2))), engine=RecordingEngine(1, 1))
    assert recorded_request(request_.out).planned
    run(plan(request_), engine=RecordingEngine(1, 1))
    assert not recorded_request(request_.out).planned


def test_a_listing_of_another_version_is_refused(request_: MeasureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    freeze(request_)
    monkeypatch.setattr("curate.measure.shards.REVISION", settings.REVISION + 1)
    with pytest.raises(
        DatasetError, match=r"planned with other settings, or by another version .* `curate plan folder"
    ):
        plan(recorded_request(request_.out))
    (request_.out / "plan.parquet").unlink()
    assert plan(recorded_request(request_.out)).photos == 13


def test_parts_share_a_directory_and_others_do_not(request_: MeasureRequest) -> None:
    part = plan(replace(request_, part=Part(0, 2)))
    with OutputLock(request_.out, shared=True):
        run(part, engine=RecordingEngine(1, 1))
        with pytest.raises(BusyError, match="in use by another run"):
            run(plan(request_), engine=RecordingEngine(1, 1))
        assert (request_.out / ".lock").exists()
    assert not (request_.out / ".lock").exists()
    with OutputLock(request_.out), pytest.raises(BusyError):
        run(part, engine=RecordingEngine(1, 1))


def test_a_dataset_whose_photos_are_gone(request_: MeasureRequest) -> None:
    freeze(request_)
    shutil.rmtree(request_.root) if request_.root.is_dir() else request_.root.unlink()
    with pytest.raises(Exception, match=r"cannot be opened \(No such file"):
        plan(recorded_request(request_.out))


def test_the_commands(tmp_path: Path) -> None:
    root, out = make_directory(tmp_path / "photos", *PHOTOS), tmp_path / "out"
    runner = CliRunner()

    def run_command(*words: object) -> tuple[int, str]:
        done = runner.invoke(app, list(map(str, words)))
        return done.exit_code, " ".join(done.output.split())

    options = ("--models", "builtin", "--device", "cpu", "--workers", 1, "--buckets", 3, "--identities", "first")
    code, text = run_command("plan", "folder", "--root", root, "--out", out, *options)
    assert (code, text.endswith(f"12 photos of 4 people in 3 shards planned: {out}")) == (0, True), text
    for words, message in (
        (("--root", root), f"{out} is a dataset and records --root: leave them out"),
        (("--part", "3/3"), "--part 3/3: i of i/n is from 0 to n - 1"),
        (("--engine", "slurm"), "no engine is called 'slurm'; choose local, ray"),
    ):
        code, text = run_command("measure", out, *words)
        assert (code, message in text) == (2, True), text
    code, text = run_command("measure", "no-such-folder", "--part", "0/3")
    assert (code, "no layout is called 'no-such-folder'" in text) == (2, True), text
    code, text = run_command("status", out, "--planned", "--parts", 2)
    assert (code, "missing: 3 shards, 12 photos" in text, "--array=0-1" in text) == (0, True, True), text
