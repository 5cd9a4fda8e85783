"""The loop: each recipe trains, a step does what it says, and a killed one continues as if nothing had happened."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from tests.conftest import ROOT, Cleaned
from tests.samples.swap import write_checkpoint
from tests.samples.tiny_training import write_recipe
from train import checkpoint, fit
from train.build import build_parts, load_generator
from train.config import Recipe, load_recipe
from train.data.loader import Batch
from train.errors import CheckpointError, DivergedError, RecipeError
from train.loop import Status, Training, kind_of
from train.networks.generator import Generator
from train.objective import DiffusionObjective, Made


@pytest.fixture(scope="module")
def planned(cleaned: Cleaned, tmp_path_factory: pytest.TempPathFactory) -> fit.Plan:
    folder = tmp_path_factory.mktemp("run")
    recipe = load_recipe(write_recipe(folder))
    return fit.plan(fit.Request(cleaned.out, recipe, folder / "out", "cpu", workers=1))


def with_recipe(planned: fit.Plan, out: Path, **changes: object) -> fit.Plan:
    request = replace(planned.request, recipe=replace(planned.request.recipe, **changes), out=out)
    return replace(planned, request=request)


def training(planned: fit.Plan, out: Path) -> tuple[Training, list[Batch]]:
    """A training that has not begun, and the batches of its first steps."""
    recipe = planned.request.recipe
    torch.manual_seed(recipe.seed)
    centre = torch.zeros(planned.embedder.dim)
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(len(planned.photos), planned.embedder.dim)).astype(np.float16)
    loader = fit._loader(planned, planned.photos, latents, planned.request)
    batches = [next(loader) for _ in range(4)]
    loader.close()
    return Training(build_parts(recipe, planned.embedder, centre, torch.device("cpu")), out), batches


def run(planned: fit.Plan) -> list[Status]:
    told: list[Status] = []
    fit.fit(planned, lambda _: None, told.append)
    return told


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("discriminator_batch", "taken"), [("fresh", 4), ("same", 2)])
def test_both_updates_of_a_step_see_one_kind(share: float, discriminator_batch: str, taken: int) -> None:
    recipe = replace(Recipe(), same_person=share, accumulate=2, discriminator_batch=discriminator_batch)
    kind = kind_of(recipe)
    kinds = [kind(index) for index in range(taken * 40)]
    assert all(len(set(kinds[step * taken : (step + 1) * taken])) == 1 for step in range(40))
    assert kinds.count("same") == share * len(kinds)


@pytest.mark.parametrize(
    "changes",
    [
        {"mask": "box"},
        {"mask": "face_hair"},
        {"mask": "face", "masked": "input"},
        {"convolution": "separable"},
        {"convolution": "modulated"},
        {"convolution": "dynamic"},
        {"images_per_block": 8},
        {"generator": "compact", "convolution": "separable"},
        {"generator": "diffusion", "condition_shrink": 8, "same_person": 1.0},
        {"gradient_penalty": 1e-5, "accumulate": 2, "io_space": "imagenet"},
        {"output": "change", "discriminator_batch": "fresh"},
        {"output": "change", "generator": "compact", "io_space": "imagenet"},
        {"output": "change", "shrink": 2, "identity_map": 4, "latent_rate": 10.0},
    ],
    ids=str,
)
def test_every_recipe_trains(planned: fit.Plan, tmp_path: Path, changes: dict[str, object]) -> None:
    told = run(with_recipe(planned, tmp_path, images=16, **changes))
    assert told[-1].images == 16
    assert all(np.isfinite(value) for status in told for value in status.losses.values())
    generator, facts = load_generator(checkpoint.path_of(tmp_path / "checkpoints", 16))
    assert facts["latent_dim"] == planned.embedder.dim
    side = planned.request.recipe.size
    assert generator(torch.zeros(1, 3, side, side), torch.ones(1, planned.embedder.dim)).shape == (1, 3, side, side)


def test_a_few_hundred_images_teach_a_generator_with_an_identity_map_whom_to_show(
    planned: fit.Plan, tmp_path: Path
) -> None:
    recipe = {"output": "change", "identity_map": 8, "learning_rate": 1e-3, "latent_rate": 10.0, "beta1": 0.5}
    told = run(with_recipe(planned, tmp_path, images=320, batch=8, same_person=0.0, identity=20.0, **recipe))
    losses = [status.losses["identity"] for status in told]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.15


def test_layers_that_read_the_latent_learn_at_their_own_rate(planned: fit.Plan, tmp_path: Path) -> None:
    changed = with_recipe(planned, tmp_path, latent_rate=10.0, identity_map=2)
    ours, batches = training(changed, tmp_path)
    before = {name: p.detach().clone() for name, p in ours.generator.named_parameters()}
    ours.step(iter(batches))
    # Adam's first step moves each weight by the learning rate.
    moved = {name: (p - before[name]).abs().max().item() for name, p in ours.generator.named_parameters()}
    rate = changed.request.recipe.learning_rate
    readers = {name for name, distance in moved.items() if distance > 5 * rate}
    assert readers == {name for name in moved if ".style" in name or name == "identity_map.linear.weight"}
    assert max(moved.values()) == pytest.approx(10 * rate, rel=0.01)


def test_bfloat16_computes_nearly_the_same(planned: fit.Plan, tmp_path: Path) -> None:
    told = {}
    for half in (False, True):
        one = with_recipe(planned, tmp_path / str(half), images=4)
        told[half] = run(replace(one, request=replace(one.request, bfloat16=half)))[0].losses
    assert told[True] != told[False]
    assert told[True] == pytest.approx(told[False], rel=0.1, abs=0.05)


def test_a_run_leaves_log_grid_and_checkpoints(planned: fit.Plan, tmp_path: Path) -> None:
    run(with_recipe(planned, tmp_path))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [4, 8, 12, 16, 20, 24]
    # Steps of one person and of two take turns; only the former reconstruct.
    assert ["reconstruction" in row for row in rows] == [True, False] * 3
    with Image.open(tmp_path / "samples" / f"{24:012d}.png") as picture:
        assert picture.width == 3 * 64
        assert np.asarray(picture).std() > 10
    assert checkpoint.newest(tmp_path / "checkpoints") == checkpoint.path_of(tmp_path / "checkpoints", 24)


def test_a_step_teaches_both_networks_and_the_discriminator_gives_the_generator_no_graph(
    planned: fit.Plan, tmp_path: Path
) -> None:
    ours, batches = training(planned, tmp_path)
    before = {name: p.detach().clone() for name, p in ours.generator.named_parameters()}
    before_d = [p.detach().clone() for p in ours.discriminator.parameters()]
    ours.step(iter(batches))
    assert any(not torch.equal(before[name], p) for name, p in ours.generator.named_parameters())
    assert any(not torch.equal(b, p) for b, p in zip(before_d, ours.discriminator.parameters(), strict=True))
    ours.optimiser_g.zero_grad()
    ours.objective.discriminator_loss(batches[1], 0.0).loss.backward()
    assert all(p.grad is None for p in ours.generator.parameters())


def test_parts_of_a_batch_give_the_gradient_of_the_whole(planned: fit.Plan, tmp_path: Path) -> None:
    ours, batches = training(planned, tmp_path)
    weight = next(ours.generator.parameters())

    def loss_of(at: int, batch: Batch) -> Made:
        # A loss without batch normalisation, whose parts would differ from the whole.
        return Made((weight.sum() * batch.target.float()).mean(), {"x": torch.ones(())}, weight)

    ours._update(torch.optim.SGD([weight]), batches[:2], loss_of)
    assert weight.grad is not None
    expected = torch.stack([batch.target.float().mean() for batch in batches[:2]]).mean()
    assert torch.allclose(weight.grad, torch.full_like(weight, expected.item()))


def test_blocks_open_one_by_one_and_earlier_ones_freeze(planned: fit.Plan, tmp_path: Path) -> None:
    ours, batches = training(with_recipe(planned, tmp_path, images_per_block=4), tmp_path)
    assert isinstance(ours.generator, Generator)
    assert ours.generator.active_blocks == 1
    ours.step(iter(batches[:2]))
    frozen = [p.detach().clone() for p in ours.generator.BottleNeck[0].parameters()]
    ours.step(iter(batches[2:]))
    assert ours.generator.active_blocks == 2
    assert all(torch.equal(b, p) for b, p in zip(frozen, ours.generator.BottleNeck[0].parameters(), strict=True))


@pytest.mark.parametrize(("choice", "forwards"), [("same", 1), ("fresh", 2)])
def test_the_discriminator_learns_from_the_fakes_of_the_same_batch_or_of_another(
    planned: fit.Plan, tmp_path: Path, choice: str, forwards: int
) -> None:
    ours, batches = training(with_recipe(planned, tmp_path, discriminator_batch=choice), tmp_path)
    made: list[torch.Tensor] = []
    ours.generator.register_forward_hook(lambda module, given, image: made.append(image.detach().clone()))
    judged: list[torch.Tensor] = []
    ours.discriminator.register_forward_hook(lambda module, given, verdicts: judged.append(given[0].detach()))
    ours.step(iter(batches[:forwards]))
    assert len(made) == forwards
    assert torch.equal(judged[-1], made[-1])  # D's last look is at the newest fakes


def test_a_teacher_gets_latents_as_its_own_training_made_them(planned: fit.Plan, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "teacher.safetensors", planned.embedder.embedder_id)
    changed = with_recipe(
        planned, tmp_path, generator="diffusion", same_person=1.0, teacher=str(tmp_path / "teacher.safetensors")
    )
    ours, batches = training(changed, tmp_path)
    assert isinstance(ours.objective, DiffusionObjective)
    generator, facts = load_generator(tmp_path / "teacher.safetensors")
    assert facts["centre"].norm() > 0.1  # this training's is zero
    rgb01 = batches[0].target.float() / 255
    wanted = generator(rgb01, normalize(batches[0].latents.roll(1, 0) - facts["centre"]))
    torch.testing.assert_close(ours.objective._condition(rgb01, batches[0]), wanted.clamp(0, 1))
    ours.step(iter(batches))


def test_what_cannot_be_compiled_is_refused(planned: fit.Plan, tmp_path: Path) -> None:
    penalised = with_recipe(planned, tmp_path, gradient_penalty=1e-3).request
    with pytest.raises(RecipeError, match="gradient_penalty differentiates twice"):
        fit.plan(replace(penalised, compile=True))


def test_compiled_networks_learn_the_same(planned: fit.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced, but not turned into machine code, which takes a compiler and a minute.
    traced = functools.partialmethod(torch.nn.Module.compile, backend="eager")
    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    plain = with_recipe(planned, tmp_path / "plain", images=8)
    compiled = with_recipe(planned, tmp_path / "compiled", images=8)
    compiled = replace(compiled, request=replace(compiled.request, compile=True))
    for one, other in zip(run(plain), run(compiled), strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-3)


def test_nan_stops_the_run_and_leaves_the_batch(planned: fit.Plan, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    ours, batches = training(planned, tmp_path)
    with torch.no_grad():
        next(ours.generator.parameters()).fill_(float("nan"))
    ours.step(iter(batches))
    with pytest.raises(DivergedError, match="loss 'adversarial' is nan after about 4 images; its batches are in"):
        ours.losses()
    (path,) = (tmp_path / "diverged").iterdir()
    assert torch.equal(load_file(path)["0.target"], batches[0].target)


def test_another_recipe_or_policy_is_refused(planned: fit.Plan, tmp_path: Path) -> None:
    run(with_recipe(planned, tmp_path, images=4))
    with pytest.raises(CheckpointError, match="another recipe \\(blocks: 2, here 3\\)"):
        run(with_recipe(planned, tmp_path, images=4, blocks=3))
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace(planned.facts["policy_hash"], "0" * 64))
    with pytest.raises(CheckpointError, match="data of another policy \\(0000"):
        run(with_recipe(planned, tmp_path, images=4))


def test_a_damaged_checkpoint_stops_the_continuation_and_says_what_to_do(planned: fit.Plan, tmp_path: Path) -> None:
    run(with_recipe(planned, tmp_path, images=8))
    newest = checkpoint.path_of(tmp_path / "checkpoints", 8)
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"0008.safetensors is damaged .*continues from the one before"):
        run(with_recipe(planned, tmp_path, images=12))
    newest.unlink()
    assert [status.images for status in run(with_recipe(planned, tmp_path, images=12))] == [8, 12]


def test_a_longer_training_continues_a_shorter_one(planned: fit.Plan, tmp_path: Path) -> None:
    run(with_recipe(planned, tmp_path, images=8))
    assert [status.images for status in run(with_recipe(planned, tmp_path, images=16))] == [12, 16]


def test_killed_and_continued_gives_the_same_losses(cleaned: Cleaned, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "images = 40")

    def command(out: str) -> list[str]:
        arguments = ["--data", cleaned.out, "--recipe", recipe, "--out", tmp_path / out, "--device", "cpu"]
        return [sys.executable, "-m", "train.cli", "fit", *map(str, arguments), "--deterministic", "--workers", "1"]

    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command("whole"), cwd=ROOT, env=env, check=True, capture_output=True)
    running = subprocess.Popen(command("killed"), cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    while running.poll() is None and not checkpoint.newest(tmp_path / "killed" / "checkpoints"):
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    done = subprocess.run(command("killed"), cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    assert "continuing after" in done.stdout

    def losses(out: str) -> list[dict[str, float]]:
        rows = [json.loads(line) for line in (tmp_path / out / "log.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if k not in ("images_per_second", "memory_bytes")} for row in rows]

    assert losses("killed") == losses("whole")
