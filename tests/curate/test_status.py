"""`curate status`: what is finished, missing, and changed at the source."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate.application import app
from curate.status import Status, StatusRequest, run
from tests.conftest import Cleaned


@pytest.fixture
def out(cleaned: Cleaned, tmp_path: Path) -> Path:
    """A copy of the cleaned demo, in four shards."""
    return shutil.copytree(cleaned.out, tmp_path / "curated")


def names(status: Status) -> dict[str, list[int]]:
    """State -> its shards."""
    states = ("finished", "missing", "changed", "outdated", "damaged", "not_embedded")
    return {state: [shard.bucket for shard in shards] for state in states if (shards := getattr(status, state))}


def test_a_finished_dataset(cleaned: Cleaned) -> None:
    status = run(StatusRequest(cleaned.out))
    assert names(status) == {"finished": [0, 1, 2, 3]}
    assert status.lines() == [f"finished: 4 shards, {len(cleaned.planted)} photos", "everything is measured"]


def test_shards_that_are_missing_damaged_or_without_embeddings(out: Path) -> None:
    (out / "measures" / "b-000.parquet").unlink()
    faces = out / "faces" / "b-001.parquet"
    faces.write_bytes(faces.read_bytes()[:-1] + b"?")
    next((out / "embeddings").glob("*/b-003.parquet")).unlink()
    status = run(StatusRequest(out))
    assert names(status) == {"finished": [2], "missing": [0], "damaged": [1], "not_embedded": [3]}
    assert status.array == "0-1,3"
    assert run(StatusRequest(out, parts=2)).array == "0-1"
    assert status.lines()[-1] == (
        f'as a job array: sbatch --array=0-1,3, each task: curate measure {out} --part "$SLURM_ARRAY_TASK_ID/4"'
    )


def test_photos_that_changed_at_the_source(cleaned: Cleaned, out: Path) -> None:
    folder = sorted(path for path in cleaned.photos.rglob("n*") if path.is_dir())[0]
    photo = sorted(folder.glob("*.jpg"))[0]
    added = folder / "9999_01.jpg"
    shutil.copy(photo, added)
    try:
        status = run(StatusRequest(out))
    finally:
        added.unlink()
    (shard,) = status.changed
    assert shard.counts is not None
    assert (shard.counts.added, shard.counts.changed, shard.counts.removed) == (1, 0, 0)
    assert "changed at the source: 1 shard, " in status.lines()[1]
    assert status.lines()[1].endswith(": 1 added, 0 changed, 0 removed")
    assert status.lines()[2] == "to do: 1 photo"


def test_the_command(cleaned: Cleaned) -> None:
    done = CliRunner().invoke(app, ["status", str(cleaned.out)])
    assert done.exit_code == 0, done.output
    assert done.output.endswith("everything is measured\n")
