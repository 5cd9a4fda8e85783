"""The whole product on a small set, as a user runs it: curate clean -> simswap fit -> simswap swap -> verify."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tests.conftest import ROOT, Cleaned
from tests.samples.tiny_training import write_recipe


def simswap(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "train.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_from_photos_to_a_marked_swap(cleaned: Cleaned, tmp_path: Path) -> None:
    kept = pd.read_parquet(cleaned.out / "manifest.parquet").query("verdict == 'keep'")
    people = kept.groupby("identity").image_id.first()
    source, target = (cleaned.photos / image_id for image_id in people.iloc[:2])
    run, out = tmp_path / "run", tmp_path / "swapped"

    done = simswap("fit", "--data", cleaned.out, "--recipe", write_recipe(tmp_path), "--images", 8, "--out", run)
    assert done.returncode == 0, done.stderr
    (checkpoint,) = (run / "checkpoints").glob("*8.safetensors")
    done = simswap(
        "swap", "--checkpoint", checkpoint, "--source", source, "--target", target, "--out", out, "--label", "none"
    )
    assert done.returncode == 0, done.stderr
    (swapped,) = out.glob("*.jpg")

    # The swap changes the face and not the photo's corner.
    before, after = (cv2.imread(str(path)).astype(int) for path in (target, swapped))
    assert before.shape == after.shape
    change = np.abs(before - after).mean(2)
    middle = tuple(slice(side // 3, 2 * side // 3) for side in change.shape)
    assert change[middle].mean() > 3 * change[: change.shape[0] // 10, : change.shape[1] // 10].mean()

    done = simswap("verify", swapped, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["marked"] is True, result
    plain = shutil.copy(target, tmp_path / "plain.jpg")
    assert simswap("verify", plain).returncode == 12
