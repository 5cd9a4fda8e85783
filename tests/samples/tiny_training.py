"""A training small enough for tests: the demo's faces at 64 px, two identity blocks, eight channels, a few steps."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from train import fit
from train.build import build_networks
from train.data.loader import Batch
from train.training import Training

RECIPE = """
size = 64
width = 8
blocks = 2
discriminator_width = 8
discriminator_scales = 1
batch = 4
images = 24
log_steps = 1
sample_images = 24
checkpoint_images = 4
checkpoints = 9
"""


def write_recipe(folder: Path, text: str = "") -> Path:
    """Write `folder`/small.toml: the recipe above, in which the lines of `text` replace those of the same keys."""
    replaced = {line.split("=")[0].strip() for line in text.splitlines()}
    kept = [line for line in RECIPE.splitlines() if line.split("=")[0].strip() not in replaced]
    path = folder / "small.toml"
    path.write_text("\n".join([*kept, text]), encoding="utf-8")
    return path


def with_recipe(planned: fit.FitPlan, out: Path, **changes: object) -> fit.FitPlan:
    """The same data with a changed recipe, in another folder."""
    recipe = replace(planned.request.recipe, **changes)  # type: ignore[arg-type]
    return replace(planned, request=replace(planned.request, recipe=recipe, out=out))


def training(planned: fit.FitPlan, out: Path) -> tuple[Training, list[Batch]]:
    """A training before its first step, and its first four batches, with random latents."""
    recipe = planned.request.recipe
    torch.manual_seed(recipe.seed)
    centre = torch.zeros(planned.embedder.dim)
    latents = np.random.default_rng(0).normal(size=(len(planned.photos), planned.embedder.dim)).astype(np.float16)
    loader = fit.pair_loader(planned, planned.photos, latents)
    batches = [next(loader) for _ in range(4)]
    loader.close()
    return Training(build_networks(recipe, planned.embedder, centre, torch.device("cpu")), out), batches


def run(planned: fit.FitPlan) -> list[dict[str, Any]]:
    """Train; the lines that this run added to the log."""
    log = planned.request.out / "log.jsonl"
    before = len(log.read_text().splitlines()) if log.exists() else 0
    fit.run(planned)
    return [json.loads(line) for line in log.read_text().splitlines()][before:]


def losses(row: dict[str, Any]) -> dict[str, float]:
    """The losses of a line of the log."""
    others = ("images", "images_per_second", "memory_bytes", "alpha")
    return {name: value for name, value in row.items() if name not in others}
