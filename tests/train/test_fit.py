"""Fitting: each recipe trains, and a run that was killed continues as if nothing had happened."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import ROOT, Cleaned
from tests.samples.listener import Recorder, Step
from tests.samples.swap import write_checkpoint
from tests.samples.tiny_training import losses, run, with_recipe, write_recipe
from train import checkpoint, fit
from train.errors import CheckpointError, RecipeError
from train.fit import FitPlan
from train.trained import load_network


@pytest.mark.parametrize(
    "changes",
    [
        {"mask": "box"},
        {"mask": "face_hair"},
        {"mask": "face", "masked": "input"},
        {"convolution": "separable"},
        {"convolution": "modulated"},
        {"convolution": "dynamic"},
        {"variant": "deep"},
        {"variant": "512"},
        {"block_share": 0.5},
        {"generator": "compact", "convolution": "separable"},
        {"generator": "diffusion", "condition_shrink": 8, "same_person": 1.0},
        {"gradient_penalty": 1e-5, "accumulate": 2, "io_space": "imagenet"},
        {"output": "change", "discriminator_batch": "fresh"},
        {"output": "change", "generator": "compact", "io_space": "imagenet"},
        {"output": "change", "shrink": 2, "identity_map": 4, "latent_rate": 10.0},
    ],
    ids=str,
)
def test_every_recipe_trains(planned: FitPlan, tmp_path: Path, changes: dict[str, object]) -> None:
    rows = run(with_recipe(planned, tmp_path, images=16, **changes))
    assert rows[-1]["images"] == 16
    assert all(np.isfinite(value) for row in rows for value in row.values())
    trained = load_network(checkpoint.path_of(tmp_path / "checkpoints", 16))
    assert trained.facts.latent_dim == planned.embedder.dim
    side = planned.request.recipe.size
    image = trained.generate(torch.zeros(1, 3, side, side), torch.ones(1, planned.embedder.dim))
    assert image.shape == (1, 3, side, side)


def test_a_few_hundred_images_teach_a_generator_with_an_identity_map_the_identity(
    planned: FitPlan, tmp_path: Path
) -> None:
    recipe = {"output": "change", "identity_map": 8, "learning_rate": 1e-3, "latent_rate": 10.0, "beta1": 0.5}
    rows = run(with_recipe(planned, tmp_path, images=320, batch=8, same_person=0.0, identity=20.0, **recipe))
    identity = [row["identity"] for row in rows]
    assert np.mean(identity[-5:]) < np.mean(identity[:5]) - 0.15


def test_bfloat16_computes_nearly_the_same(planned: FitPlan, tmp_path: Path) -> None:
    first = {}
    for bfloat16 in (False, True):
        changed = with_recipe(planned, tmp_path / str(bfloat16), images=4)
        first[bfloat16] = losses(run(replace(changed, request=replace(changed.request, bfloat16=bfloat16)))[0])
    assert first[True] != first[False]
    assert first[True] == pytest.approx(first[False], rel=0.1, abs=0.05)


def test_a_run_writes_log_grid_and_checkpoints(planned: FitPlan, tmp_path: Path) -> None:
    rows = run(with_recipe(planned, tmp_path))
    assert [row["images"] for row in rows] == [4, 8, 12, 16, 20, 24]
    # Steps of one person and of two alternate; only the former reconstruct.
    assert ["reconstruction" in row for row in rows] == [True, False] * 3
    with Image.open(tmp_path / "samples" / f"{24:012d}.png") as picture:
        assert picture.width == 3 * 64
        assert np.asarray(picture).std() > 10
    assert checkpoint.newest(tmp_path / "checkpoints") == checkpoint.path_of(tmp_path / "checkpoints", 24)


def test_a_listener_receives_images_and_log_lines(planned: FitPlan, tmp_path: Path) -> None:
    recorder = Recorder()
    fit.run(with_recipe(planned, tmp_path, images=8), recorder)
    assert recorder.steps[-1] == Step("training", 8, "images", done=8, finished=True)
    assert [line.split()[:3] for line in recorder.notes if "images/s" in line] == [
        ["4", "images", "50%"],
        ["8", "images", "100%"],
    ]


def test_the_time_that_is_left_is_estimated_once(
    planned: FitPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.loop._ESTIMATE_AFTER", 0.0)
    recorder = Recorder()
    fit.run(with_recipe(planned, tmp_path, images=12), recorder)
    (line,) = [line for line in recorder.notes if line.startswith("at the speed of the first")]
    assert line.startswith("at the speed of the first 4 images, the remaining 8 take ")
    # A run that continues counts from where it was.
    fit.run(with_recipe(planned, tmp_path, images=16), recorder)
    assert recorder.steps[-1] == Step("training", 16, "images", done=16, finished=True)


def test_a_training_starts_from_a_checkpoint_of_its_architecture(planned: FitPlan, tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    recipe = planned.request.recipe
    write_checkpoint(path, planned.embedder.embedder_id, blocks=recipe.blocks, width=recipe.width)
    started = with_recipe(planned, tmp_path / "out", images=4, learning_rate=0.0, checkpoint_images=4)
    started = replace(started, request=replace(started.request, start=path))
    fit.run(started)
    trained, start = checkpoint.read(checkpoint.path_of(tmp_path / "out" / "checkpoints", 4)), checkpoint.read(path)
    assert torch.equal(trained.tensors["generator.last_layer.1.weight"], start.tensors["ema.last_layer.1.weight"])
    assert torch.equal(trained.tensors["centre"], start.tensors["centre"])
    other = with_recipe(started, tmp_path / "other", blocks=recipe.blocks + 1)
    with pytest.raises(CheckpointError, match="is of another architecture than the recipe"):
        fit.run(other)


def test_what_cannot_be_compiled_is_refused(planned: FitPlan, tmp_path: Path) -> None:
    penalised = with_recipe(planned, tmp_path, gradient_penalty=1e-3).request
    with pytest.raises(RecipeError, match="gradient_penalty differentiates twice"):
        fit.plan(replace(penalised, compile=True))


def test_compiled_networks_learn_the_same(planned: FitPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced but not compiled to machine code, which takes a compiler and a minute.
    traced = functools.partialmethod(torch.nn.Module.compile, backend="eager")
    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    plain = with_recipe(planned, tmp_path / "plain", images=8)
    compiled = with_recipe(planned, tmp_path / "compiled", images=8)
    compiled = replace(compiled, request=replace(compiled.request, compile=True))
    for row, compiled_row in zip(run(plain), run(compiled), strict=True):
        assert losses(row) == pytest.approx(losses(compiled_row), rel=1e-3)


def test_another_recipe_policy_or_embedder_is_refused(planned: FitPlan, tmp_path: Path) -> None:
    run(with_recipe(planned, tmp_path, images=4))
    with pytest.raises(CheckpointError, match=r"another recipe \(blocks: 2, here 3\)"):
        run(with_recipe(planned, tmp_path, images=4, blocks=3))
    path = tmp_path / "run.json"
    text = path.read_text()
    assert planned.facts.policy_hash is not None
    path.write_text(text.replace(planned.facts.policy_hash, "0" * 64))
    with pytest.raises(CheckpointError, match=r"data of another policy \(0000"):
        run(with_recipe(planned, tmp_path, images=4))
    path.write_text(text.replace(planned.facts.embedder_id, "0" * 16))
    with pytest.raises(CheckpointError, match=r"with another embedder \(0000"):
        run(with_recipe(planned, tmp_path, images=4))


def test_a_selection_is_trained_on_and_belongs_to_the_run(planned: FitPlan, tmp_path: Path) -> None:
    ids = [face_id.rsplit("#", 1)[0] for face_id in planned.photos.face_id]
    listed = tmp_path / "selection.txt"
    listed.write_text("\n".join(ids[::2]))
    request = with_recipe(planned, tmp_path / "run", images=4).request
    selected = fit.plan(replace(request, selection=listed))
    assert sorted(face_id.rsplit("#", 1)[0] for face_id in selected.photos.face_id) == sorted(ids[::2])
    assert f"selection      {listed}" in fit.describe(selected)
    run(selected)
    with pytest.raises(CheckpointError, match=r"other photos \(--selection: [0-9a-f]{12}, here all kept photos\)"):
        run(fit.plan(request))


def test_a_damaged_checkpoint_stops_the_run_with_the_next_step(planned: FitPlan, tmp_path: Path) -> None:
    run(with_recipe(planned, tmp_path, images=8))
    newest = checkpoint.path_of(tmp_path / "checkpoints", 8)
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"0008.safetensors is damaged .*continues from the one before"):
        run(with_recipe(planned, tmp_path, images=12))
    newest.unlink()
    fit.run(with_recipe(planned, tmp_path, images=12))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [4, 8, 12]


def test_a_longer_training_continues_a_shorter_one(planned: FitPlan, tmp_path: Path) -> None:
    run(with_recipe(planned, tmp_path, images=8))
    assert [row["images"] for row in run(with_recipe(planned, tmp_path, images=16))] == [12, 16]


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

    def logged(out: str) -> list[dict[str, float]]:
        rows = [json.loads(line) for line in (tmp_path / out / "log.jsonl").read_text().splitlines()]
        return [{"images": row["images"], **losses(row)} for row in rows]

    assert logged("killed") == logged("whole")


def test_an_interrupted_training_writes_a_checkpoint_and_continues_alike(planned: FitPlan, tmp_path: Path) -> None:
    rare = {"images": 32, "log_steps": 3, "checkpoint_images": 32, "sample_images": 32}
    whole = run(with_recipe(planned, tmp_path / "whole", **rare))
    stopped = with_recipe(planned, tmp_path / "stopped", **rare)
    steps = iter(range(100))
    path = fit.run(stopped, interruptible=lambda: nullcontext(lambda: next(steps) == 3))
    assert path == stopped.request.out / "checkpoints/000000000016.safetensors"

    continued = run(stopped)
    assert [row["images"] for row in whole] == [12, 24, 32]
    assert [row["images"] for row in continued] == [24, 32]
    assert losses(continued[-1]) == pytest.approx(losses(whole[-1]), rel=1e-4)
    assert checkpoint.newest(stopped.request.out / "checkpoints") == path.with_name("000000000032.safetensors")
