"""Two processes train as one that computes their parts of the batch in sequence, and continue where they stopped."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import ROOT, Cleaned
from tests.samples.tiny_training import write_recipe
from train import checkpoint
from train.config import Recipe
from train.errors import RecipeError
from train.processes import divide_batch

# A loss with random numbers, which must be equal. No checkpoint before the end, for which all processes must wait.
CHANGES = "images = 24\ngradient_penalty = 1e-3\ncheckpoint_images = 1000"


def train(launch: list[str], recipe: Path, cleaned: Cleaned, out: Path, *arguments: object, code: int = 0) -> str:
    """Train in processes of their own, with one thread each: other tests change the threads of this one.

    code: the expected exit code.
    """
    options = ["--data", cleaned.out, "--recipe", recipe, "--out", out, "--device", "cpu", *arguments]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "fit", *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


ALONE = ["train.cli"]
TOGETHER = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "train.cli"]
INTERRUPTED = [*TOGETHER[:-1], "tests.samples.interrupted_fit"]


def losses(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    # The mask's weight depends on the total number of images, which differs.
    other = ("images_per_second", "memory_bytes", "alpha")
    return [{k: v for k, v in row.items() if k not in other} for row in rows]


def test_two_processes_train_as_one_and_continue(cleaned: Cleaned, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, CHANGES)
    train(ALONE, recipe, cleaned, tmp_path / "one", "--accumulate", 2)
    output = train(INTERRUPTED, recipe, cleaned, tmp_path / "two", code=1)  # Ctrl-C in the second one, after 8 images
    assert output.count("images/s") == 2  # one of them reports
    assert "continuing after 8 images" in train(TOGETHER, recipe, cleaned, tmp_path / "two")
    by_two, by_one = losses(tmp_path / "two"), losses(tmp_path / "one")
    assert len(by_two) == 6
    for line, expected in zip(by_two, by_one, strict=True):
        # Sums in another order, whose differences accumulate over the steps.
        assert line == pytest.approx(expected, rel=1e-2, abs=2e-3)
    statistics = [_running_statistics(tmp_path / name) for name in ("one", "two")]
    for name, buffer in statistics[0].items():
        torch.testing.assert_close(statistics[1][name], buffer, rtol=0.02, atol=2e-3)
    # The identity loss differs from line to line by more than that.
    assert abs(by_two[0]["identity"] - by_two[1]["identity"]) > 0.01
    assert not list((tmp_path / "two").rglob("*.partial-*"))


def _running_statistics(out: Path) -> dict[str, Tensor]:
    newest = checkpoint.newest(out / "checkpoints")
    assert newest is not None
    return {name: t for name, t in checkpoint.read(newest).part("generator").items() if "running_" in name}


def test_a_batch_is_divided_into_parts_that_the_processes_share_equally() -> None:
    assert divide_batch(replace(Recipe(), batch=24, accumulate=3), 2).accumulate == 6
    assert divide_batch(Recipe(), 1) == Recipe()
    with pytest.raises(RecipeError, match="batch = 16 cannot be divided into accumulate = 3 equal parts"):
        divide_batch(Recipe(), 3)
