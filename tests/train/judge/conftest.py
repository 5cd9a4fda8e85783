"""Short trainings, and the evaluation of one against a baseline, that several tests of judging share."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Cleaned
from tests.samples.listener import Recorder
from tests.samples.tiny_training import write_recipe
from train import fit
from train.config import load_recipe
from train.judge.evaluate import JudgeRequest, plan, run
from train.judge.summary import JudgeSummary


def train_briefly(cleaned: Cleaned, folder: Path, lines: str) -> Path:
    """The last checkpoint of a training by the small recipe, changed by `lines`."""
    folder.mkdir(exist_ok=True)
    recipe = load_recipe(write_recipe(folder, lines))
    return fit.run(fit.plan(fit.FitRequest(cleaned.out, recipe, folder / "run", "cpu", workers=1)))


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation. pairs: contents of pairs.parquet. notes: what the listener received."""

    checkpoint: Path
    out: Path
    summary: JudgeSummary
    pairs: pd.DataFrame
    notes: list[str]


@pytest.fixture(scope="session")
def evaluated(cleaned: Cleaned, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("evaluated")
    checkpoint = train_briefly(cleaned, folder / "a", "images = 8\nheld_out = 0.5")
    baseline = train_briefly(cleaned, folder / "b", "images = 4\nheld_out = 0.6\nseed = 1")
    listener = Recorder()
    request = JudgeRequest({"checkpoint": checkpoint}, cleaned.out, folder / "out", baseline=baseline, pairs=12)
    summary = run(plan(request), listener)
    return Evaluated(
        checkpoint, folder / "out", summary, pd.read_parquet(folder / "out" / "pairs.parquet"), listener.notes
    )
