"""Training of the generator for people never seen, and its use: judging, swapping, export."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Cleaned
from tests.samples.tiny_training import losses, run, with_recipe, write_recipe
from train import checkpoint, fit
from train.config import load_recipe
from train.data.people import photo_spread
from train.errors import RecipeError
from train.fit import FitPlan
from train.judge import evaluate
from train.networks.general import GeneralGenerator
from train.trained import load_network

LINES = """
generator = "general"
blocks = 9
same_person = 1.0
mask = "face"
held_out = 0.3
refine_images = 16
identity = 1.0
adversarial = 0.0
feature_matching = 0.0
"""


@pytest.fixture(scope="module")
def planned(cleaned: Cleaned, tmp_path_factory: pytest.TempPathFactory) -> FitPlan:
    """The small training on the people of the demo."""
    folder = tmp_path_factory.mktemp("general")
    recipe = load_recipe(write_recipe(folder, LINES))
    return fit.plan(fit.FitRequest(cleaned.out, recipe, folder / "out", "cpu", workers=1))


def test_refining_losses_come_after_reconstruction_and_a_stopped_run_continues(
    planned: FitPlan, tmp_path: Path
) -> None:
    whole = run(with_recipe(planned, tmp_path / "whole"))
    first = {"reconstruction", "structure"}
    refining = {"identity", "consistency"}
    assert [set(losses(row)) for row in whole] == [first] * 5 + [first | refining]
    assert all(np.isfinite(value) for row in whole for value in row.values())
    parts = tmp_path / "parts"
    rows = [*run(with_recipe(planned, parts, images=20)), *run(with_recipe(planned, parts))]
    assert [losses(row) for row in rows] == [losses(row) for row in whole]


def test_reconstruction_is_learned_and_an_adversary_can_join(planned: FitPlan, tmp_path: Path) -> None:
    changes = {"refine_images": 150, "learning_rate": 2e-3, "beta1": 0.9, "adversarial": 0.1, "width": 16}
    rows = run(with_recipe(planned, tmp_path, images=160, batch=8, **changes))
    reconstruction = [row["reconstruction"] for row in rows]
    assert np.mean(reconstruction[-5:]) < 0.95 * np.mean(reconstruction[:5])
    assert "discriminator" in rows[-1]
    assert "discriminator" not in rows[15]


def test_a_checkpoint_is_judged_on_people_whom_it_has_not_seen(
    planned: FitPlan, cleaned: Cleaned, tmp_path: Path
) -> None:
    fit.run(with_recipe(planned, tmp_path / "run", images=4))
    path = checkpoint.path_of(tmp_path / "run" / "checkpoints", 4)
    network = load_network(path).network
    assert isinstance(network, GeneralGenerator)
    assert 0 < float(network.spread) < 1
    request = evaluate.JudgeRequest({"general": path}, cleaned.out, tmp_path / "judged", pairs=4)
    assert evaluate.run(evaluate.plan(request)).judged.held_out
    assert (tmp_path / "judged" / "index.html").exists()


def test_the_spread_is_the_median_distance_between_photos_of_a_person(planned: FitPlan) -> None:
    faces = planned.photos
    random = np.random.default_rng(0)
    people = random.normal(size=(len(faces.people), 32))
    latents = (people[faces.person] + 0.1 * random.normal(size=(len(faces), 32))).astype(np.float16)
    assert 0 < photo_spread(faces, latents, np.zeros(32, np.float32)) < 0.03
    one_each = faces.take(faces.first)
    assert photo_spread(one_each, latents[faces.first], np.zeros(32, np.float32)) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"same_person": 0.5}, "general is trained to reconstruct photos from others.*set same_person = 1$"),
        ({"masked": "input"}, 'masks no input: set masked = "discriminator"$'),
        ({"size": 72}, "must be 4, 5, 6 or 7 times a power of 2 with generator general"),
        ({"blocks": 3}, "blocks = 3 has no effect with generator = 'general'"),
    ],
)
def test_conflicting_keys_are_refused(planned: FitPlan, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        replace(planned.request.recipe, **changes)  # type: ignore[arg-type]
