"""Kills, full disks, wrong paths: one line, a documented exit code, and no loss."""

import hashlib
import random
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cleaned, command, run_curate

KILLS = 20


def clean(cleaned: Cleaned, out: Path) -> list[object]:
    return ["clean", "vggface2", "--root", cleaned.photos, "--out", out, "--models", "builtin", "--buckets", 4]


def contents(out: Path) -> dict[str, str]:
    """Return the hash of each data file of a dataset."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*.parquet"))
    }


def test_killed_at_twenty_random_moments_it_continues_to_the_same_bytes(cleaned: Cleaned, tmp_path: Path) -> None:
    out = tmp_path / "curated"
    rng = random.Random(7)
    finished: dict[str, int] = {}
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(*clean(cleaned, out)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=rng.uniform(2.0, 9.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        # A finished shard is never measured again.
        for path in out.glob("measures/b-*.parquet"):
            assert finished.setdefault(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
    assert run_curate(*clean(cleaned, out)).returncode == 0
    assert contents(out) == contents(cleaned.out)
    assert not list(out.rglob("*.partial*"))


def test_ctrl_c_prints_how_to_continue(cleaned: Cleaned, tmp_path: Path) -> None:
    out = tmp_path / "curated"
    process = subprocess.Popen(
        command(*clean(cleaned, out)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (out / "dataset.json").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to continue" in stderr.splitlines()[-1]
    assert run_curate(*clean(cleaned, out)).returncode == 0
    assert contents(out) == contents(cleaned.out)


def test_two_runs_on_one_output(cleaned: Cleaned, tmp_path: Path) -> None:
    from manifests.output import OutputLock

    out = tmp_path / "curated"
    shutil.copytree(cleaned.out, out)
    with OutputLock(out):
        done = run_curate("decide", out)
    assert done.returncode == 5
    assert "in use by another run" in done.stderr
    assert contents(out) == contents(cleaned.out)


def test_a_full_disk(cleaned: Cleaned, tmp_path: Path) -> None:
    out = tmp_path / "curated"
    limit = 60_000  # bytes per file: the system refuses more as it does on a full disk
    done = run_curate(
        *clean(cleaned, out), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert done.returncode == 4
    assert done.stderr.strip().splitlines()[-1].startswith("curate: cannot write")
    assert not list(out.rglob("*.partial*"))
    assert run_curate(*clean(cleaned, out)).returncode == 0
    assert contents(out) == contents(cleaned.out)


@pytest.mark.parametrize(
    ("source", "root", "out", "code", "message"),
    [
        ("folder", "missing", "out", 3, "cannot be opened"),
        ("folder", "empty", "out", 3, "photo"),
        ("folder", "photos", "photos", 4, "lies inside --root"),
        ("folder", "photos", "photos/curated", 4, "lies inside --root"),
        ("folder", "photos", "file.txt", 4, "cannot write"),
        ("celeba", "photos", "out", 2, "vggface2, sjtu, folder"),
    ],
)
def test_wrong_paths(tmp_path: Path, source: str, root: str, out: str, code: int, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos" / "anna").mkdir(parents=True)
    (tmp_path / "photos" / "anna" / "1.jpg").write_text("no image")
    (tmp_path / "file.txt").write_text("content")
    done = run_curate("clean", source, "--root", tmp_path / root, "--out", tmp_path / out)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "file.txt").read_text() == "content"
    assert sorted(path.name for path in (tmp_path / "photos").rglob("*")) == ["1.jpg", "anna"]
