"""Every script of examples/ runs, on the demo's photos."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT, Cleaned
from tests.samples.tiny_training import write_recipe


def run_example(name: str, *arguments: object) -> str:
    """Run a script and return what it printed."""
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def dataset(cleaned: Cleaned, tmp_path: Path) -> Path:
    return shutil.copytree(cleaned.out, tmp_path / "curated")


def test_clean_vggface2(cleaned: Cleaned, dataset: Path) -> None:
    printed = run_example("clean_vggface2.py", "--root", cleaned.photos, "--out", dataset)
    verdicts = pd.read_parquet(dataset / "manifest.parquet").verdict
    assert f"{(verdicts == 'keep').sum()} of {len(verdicts)} photos are kept" in printed
    assert "other_person" in printed


def test_own_measure_and_policy(dataset: Path) -> None:
    printed = run_example("own_measure_and_policy.py", dataset)
    assert printed.startswith("by the policy: keep ")
    again = run_example("own_measure_and_policy.py", dataset)
    assert again.splitlines()[-2] == printed.splitlines()[-2]
    overrides = pd.read_csv(dataset / "overrides.csv")
    assert overrides.image_id.is_unique


def test_train_on_manifest_and_judge_generator(cleaned: Cleaned, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "held_out = 0.5")
    data = ("--data", cleaned.out)
    printed = run_example("train_on_manifest.py", *data, "--out", tmp_path / "run", "--recipe", recipe, "--images", 8)
    assert "64 px, trained on 8 images" in printed
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("*8.safetensors")
    judged = tmp_path / "judged"
    printed = run_example("judge_generator.py", *data, "--checkpoint", checkpoint, "--out", judged, "--pairs", 4)
    assert "95% interval" in printed
    assert (judged / "index.html").is_file()


def test_every_example_is_tested() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    for script in (ROOT / "examples").glob("*.py"):
        assert f'run_example("{script.name}"' in tested
        assert 20 <= len(script.read_text(encoding="utf-8").splitlines()) <= 65
