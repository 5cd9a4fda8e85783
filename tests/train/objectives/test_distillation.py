"""Distillation: a student approaches its teacher, keeps nothing of it in checkpoints, and teachers must fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.samples.swap import write_checkpoint
from tests.samples.tiny_training import training, with_recipe
from train.config import load_recipe
from train.errors import CheckpointError, RecipeError
from train.fit import FitPlan, FitRequest, plan
from train.objectives.distillation import Distillation, attention_distance
from train.objectives.swap import SwapObjective

STUDENT = {"generator": "compact", "convolution": "conditional", "blocks": 1, "width": 4, "adversarial": 0.0}
STUDENT |= {"feature_matching": 0.0, "identity": 0.0, "reconstruction": 0.0, "learning_rate": 5e-3}
GENERAL = {"blocks": 9, "same_person": 1.0, "bottleneck": 4, "width": 4}


def test_attention_compares_where_features_are_strong_and_not_how_many_there_are() -> None:
    torch.manual_seed(0)
    features = torch.rand(2, 6, 8, 8)
    same = torch.cat([features, features], 1) * 3
    assert attention_distance([features], [same]).item() == pytest.approx(0, abs=1e-6)
    moved = attention_distance([features], [features.roll(3, 2)]).item()
    assert 0 < moved < 2
    # Of networks with another number of stages the last ones are compared.
    assert attention_distance([torch.rand(2, 3, 4, 4), features], [same]).item() == pytest.approx(0, abs=1e-6)
    larger = torch.nn.functional.interpolate(features, scale_factor=2, mode="nearest")
    assert attention_distance([features], [larger]).item() < moved / 2


def test_a_student_approaches_its_teacher_in_output_and_features(planned: FitPlan, tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    write_checkpoint(path, planned.embedder.embedder_id)
    state, batches = training(with_recipe(planned, tmp_path, teacher=str(path), **STUDENT), tmp_path)
    assert isinstance(state.objective, SwapObjective)
    assert isinstance(state.objective.distillation, Distillation)
    for _ in range(15):
        state.step(iter(batches[:1]))
    losses = state.losses.means()
    assert set(losses) >= {"distillation", "feature_distillation"}

    first, _ = training(with_recipe(planned, tmp_path, teacher=str(path), **STUDENT), tmp_path)
    before = first.objective.generator_loss(batches[0], 0).terms
    after = state.objective.generator_loss(batches[0], 0).terms
    assert after["distillation"] < 0.8 * before["distillation"]
    assert after["feature_distillation"] < before["feature_distillation"]
    names = {name for name in state.save(planned.facts, {}).tensors if "teacher" in name}
    assert not names


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"embedder_id": "0" * 16}, "train the teacher with the same embedder"),
        ({"generator": "general", **GENERAL}, "generator general reads the source's photo beside"),
        ({"size": 96}, "it swaps crops of simswap-224 at 96 px, this training's are of simswap-224 at 64 px"),
        ({"mask": "face", "masked": "input"}, "reads face of the target: set mask = 'face' too"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    planned: FitPlan, tmp_path: Path, written: dict[str, object], message: str
) -> None:
    path = tmp_path / "teacher.safetensors"
    write_checkpoint(path, **({"embedder_id": planned.embedder.embedder_id} | written))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=message):
        training(with_recipe(planned, tmp_path, teacher=str(path), **STUDENT), tmp_path)


def test_compiled_networks_hide_their_features(planned: FitPlan, tmp_path: Path) -> None:
    recipe = with_recipe(planned, tmp_path, teacher="x", **STUDENT).request.recipe
    with pytest.raises(RecipeError, match="feature_distillation reads features inside of the generator"):
        plan(FitRequest(planned.request.data, recipe, tmp_path / "out", compile=True))
    # The teacher of diffusion makes the condition; no features are compared.
    diffusion = replace(load_recipe("diffusion"), condition_shrink=1, teacher="x", size=64, discriminator_scales=1)
    assert plan(FitRequest(planned.request.data, diffusion, tmp_path / "out", compile=True))
