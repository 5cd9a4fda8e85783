"""Data that several tests of training share."""

import pytest

from tests.conftest import Cleaned
from tests.samples.tiny_training import write_recipe
from train import fit
from train.config import load_recipe


@pytest.fixture(scope="session")
def planned(cleaned: Cleaned, tmp_path_factory: pytest.TempPathFactory) -> fit.FitPlan:
    """The small training on the demo's dataset."""
    folder = tmp_path_factory.mktemp("planned")
    recipe = load_recipe(write_recipe(folder))
    return fit.plan(fit.FitRequest(cleaned.out, recipe, folder / "out", "cpu", workers=1))
