"""curate/verify.py: damage anywhere in a dataset is named, with the command that repairs it."""

import shlex
import shutil
from pathlib import Path

import pytest

from curate import merge
from curate.verify import Verified, VerifyRequest, run
from manifests.reader import Dataset
from tests.conftest import Cleaned, run_curate
from tests.samples.dataset import write_dataset, write_pair
from tests.samples.listener import Recorder


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def verify(root: Path, *, photos: bool = False) -> Verified:
    return run(VerifyRequest(root, photos))


def test_a_sound_dataset(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", {"ann": 5, "bob": 4}, buckets=2)
    listener = Recorder()
    verified = run(VerifyRequest(tmp_path / "set"), listener)
    assert verified.problems == []
    assert (verified.files, verified.images) == (8, 14)
    (step,) = listener.steps
    assert (step.name, step.unit, step.done == step.total == verified.bytes) == ("verifying", "B", True)


@pytest.mark.parametrize(
    ("name", "at", "command"),
    [
        (
            "faces/b-000.parquet",
            100,
            "curate measure folder --root photos --out {root} --verify --template simswap-224",
        ),
        ("measures/b-001.parquet", -20, "curate measure folder"),
        ("relations.parquet", 100, "curate relate {root}"),
        ("manifest.parquet", 100, "curate decide {root}"),
    ],
)
def test_a_damaged_table_is_named_with_its_repair(tmp_path: Path, name: str, at: int, command: str) -> None:
    root = tmp_path / "set of faces"
    write_dataset(root, {"ann": 5, "bob": 4}, buckets=2)
    _flip(root / name, at)
    verified = verify(root)
    assert [problem.path for problem in verified.problems] == [root / name]
    assert verified.problems[0].line().startswith(f"{root / name}: damaged, ")
    (printed,) = verified.commands
    assert printed.startswith(command.format(root=shlex.quote(str(root))))


def test_missing_tables_and_tables_that_may_not_be_read_are_no_damage(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"ann": 5, "bob": 4}, buckets=2)
    (tmp_path / "measures/b-000.parquet").unlink()
    (tmp_path / "relations.parquet").unlink()
    (tmp_path / "relations.parquet").mkdir()
    lines = [problem.line() for problem in verify(tmp_path).problems]
    assert lines == [
        f"{tmp_path}/measures/b-000.parquet: missing",
        f"{tmp_path}/relations.parquet: it is a folder, not a file",
    ]


def test_a_shard_of_other_crops_is_noticed(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", {"ann": 5}, buckets=1)
    write_dataset(tmp_path / "b", {"ann": 5}, buckets=1, seed=4)
    shutil.copy(tmp_path / "b/faces/b-000.parquet", tmp_path / "a/faces/b-000.parquet")
    (problem,) = verify(tmp_path / "a").problems
    assert problem.line() == f"{tmp_path}/a/faces/b-000.parquet: a crop differs from its checksum"


def test_a_merged_dataset_is_verified_with_its_parts(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    merge.run(merge.plan(merge.MergeRequest(pair, tmp_path / "both")))
    assert verify(tmp_path / "both").problems == []
    _flip(pair[0] / "faces/b-000.parquet", 100)
    _flip(tmp_path / "both/manifest.parquet", 100)
    damaged = [problem.path for problem in verify(tmp_path / "both").problems]
    assert damaged == [pair[0] / "faces/b-000.parquet", tmp_path / "both/manifest.parquet"]


def test_the_commands_repair_to_the_same_bytes(cleaned: Cleaned, tmp_path: Path) -> None:
    out = shutil.copytree(cleaned.out, tmp_path / "set")
    before = {path: path.read_bytes() for path in sorted(out.rglob("*.parquet"))}
    assert verify(out, photos=True).problems == []
    for name in ("faces/b-001.parquet", "relations.parquet", "manifest.parquet"):
        _flip(out / name, 300)
    done = run_curate("verify", out)
    assert done.returncode == 7
    assert done.stdout.count(": damaged, bytes 0 to ") == 3
    assert done.stderr.strip().endswith("3 problems, listed above")
    commands = [line.strip() for line in done.stdout.partition("to repair:\n")[2].splitlines()]
    for command in commands:
        assert run_curate(*shlex.split(command)[1:]).returncode == 0
    assert {path: path.read_bytes() for path in sorted(out.rglob("*.parquet"))} == before
    assert run_curate("verify", out).stdout.endswith("everything is as it was written\n")


def test_changed_photos_are_named(cleaned: Cleaned, tmp_path: Path) -> None:
    out, photos = shutil.copytree(cleaned.out, tmp_path / "set"), shutil.copytree(cleaned.photos, tmp_path / "photos")
    info = (out / "dataset.json").read_text()
    (out / "dataset.json").write_text(info.replace(str(cleaned.photos.resolve()), str(photos)))
    first, second = sorted(photos.rglob("*.jpg"))[:2]
    _flip(first, 500)
    second.unlink()
    problems = {problem.line() for problem in verify(out, photos=True).problems}
    assert problems == {f"{first}: changed since it was measured", f"{second}: no longer in the source"}
    assert not Dataset.open(out).parts
