"""Two processes train as one does that takes their parts of the batch in turn, and continue where either stopped."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cleaned
from tests.samples.tiny_training import write_recipe
from train import fit
from train.config import Recipe, load_recipe
from train.errors import RecipeError
from train.processes import divide_batch

# Randomness in a loss too: it has to come out alike. No checkpoint before the end: all have to wait for that one.
CHANGES = "images = 24\ngradient_penalty = 1e-3\ncheckpoint_images = 1000"


def together(recipe: Path, cleaned: Cleaned, out: Path, images: int) -> str:
    """Two processes train, as torchrun starts them; what they say."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "train.cli"]
    arguments = ["--data", cleaned.out, "--recipe", recipe, "--out", out, "--images", images, "--device", "cpu"]
    done = subprocess.run(
        [*launch, "fit", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def losses(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    # The schedule of the mask follows the total, which differs.
    other = ("images_per_second", "memory_bytes", "alpha")
    return [{k: v for k, v in row.items() if k not in other} for row in rows]


def test_two_processes_train_as_one_and_continue(cleaned: Cleaned, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, CHANGES)
    one = load_recipe(recipe, images=24, accumulate=2)
    fit.run(fit.plan(fit.FitRequest(cleaned.out, one, tmp_path / "one", "cpu", 1)))
    said = together(recipe, cleaned, tmp_path / "two", images=16)
    assert said.count("images/s") == 4  # one of them reports
    assert "continuing after 16 images" in together(recipe, cleaned, tmp_path / "two", images=24)
    ours, theirs = losses(tmp_path / "two"), losses(tmp_path / "one")
    assert len(ours) == 6
    for mine, wanted in zip(ours, theirs, strict=True):
        # Other threads add up in another order, and each step builds on the last.
        assert mine == pytest.approx(wanted, rel=1e-2, abs=2e-3)
    # Not because nothing changes: the identity loss moves by more than that from line to line.
    assert abs(ours[0]["identity"] - ours[1]["identity"]) > 0.01
    assert not list((tmp_path / "two").rglob("*.partial-*"))


def test_a_batch_is_divided_so_that_each_process_has_as_many_parts() -> None:
    assert divide_batch(replace(Recipe(), batch=24, accumulate=3), 2).accumulate == 6
    assert divide_batch(Recipe(), 1) == Recipe()
    with pytest.raises(RecipeError, match="batch = 16 cannot be computed in accumulate = 3 equal parts"):
        divide_batch(Recipe(), 3)
