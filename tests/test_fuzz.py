"""The fuzzer finds what it should find; a few mutated files of each kind are read or refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import fuzz
from bench.fuzz import case_data, run_batch
from bench.fuzz_targets import TARGETS, Target


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / TARGETS[name].name
    path.write_bytes(TARGETS[name].seeds()[0])
    TARGETS[name].read(path)


def test_mutated_files_are_no_finds(tmp_path: Path) -> None:
    # A program of its own: it forks, which only a process without other threads does safely.
    command = [sys.executable, "-m", "bench.fuzz", "--cases", "12", "--seed", "5", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert f"{12 * len(TARGETS)} cases, 0 finds" in done.stdout


def crash(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raise_an_error(path: Path) -> None:
    raise AssertionError("no palette")


def take_memory(path: Path) -> None:
    bytearray(600_000_000)


def take_time(path: Path) -> None:
    began = time.process_time()
    while time.process_time() < began + 0.4:
        pass


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (crash, "the process ended: SIGKILL"),
        (raise_an_error, "AssertionError: no palette"),
        (take_memory, "MB more"),
        (take_time, "s of CPU"),
    ],
)
def test_a_find_is_found_and_can_be_had_again(read: object, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "CPU_SECONDS", 0.3)
    target = Target(lambda: [b"seed"], "file", read)  # type: ignore[arg-type]
    _, accepted, finds = run_batch("toy", target, [b"seed"], 3, range(7, 8))
    assert accepted == 0
    assert [find.case for find in finds] == [7]
    assert reason in finds[0].reason
    assert case_data("toy", 3, 7, [b"seed"]) == case_data("toy", 3, 7, [b"seed"])
