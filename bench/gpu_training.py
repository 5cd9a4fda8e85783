"""The training on a GPU, a part of `python -m bench.gpu`: one step against the CPU, then images/s.

Protocol of the rates: one update of G and one of D on the same batches, which are on the device, by the published loop
(bench/published_loop.py) and by Swapset, one after the other in one process, after two steps that warm up.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from bench.batches import make_batch
from bench.device_rate import rate
from bench.gpu_row import Row
from bench.published_loop import PublishedLoop
from curate.faces.models import Models
from train.build import build_networks
from train.config import Recipe
from train.data.loader import Batch
from train.data.pairs import Kind
from train.training import Training

_PACE = {"warm_up": 2, "synchronised": 4}
"""Steps before time is taken, and steps after which the device is waited for: a loop does not wait for each."""


def make_recipe(side: int, batch: int) -> Recipe:
    """The default recipe with one batch a step; narrow and shallow below 224 px, for dry runs."""
    narrow = {"width": 8, "blocks": 1, "discriminator_width": 8, "discriminator_scales": 1} if side < 224 else {}
    return replace(Recipe(), size=side, batch=batch, discriminator_batch="same", **narrow)  # type: ignore[arg-type]


def resized_batch(crops: Tensor, models: Models, recipe: Recipe, index: int = 0, kind: Kind = "cross") -> Batch:
    """Make a batch of crops uint8 (N, 3, 224, 224), repeated and resized to the recipe."""
    rows = torch.arange(recipe.batch) % len(crops)
    size = (recipe.size, recipe.size)
    target = torch.nn.functional.interpolate(crops[rows].float(), size, mode="bilinear", antialias=True)
    target = target.round().clamp(0, 255).to(torch.uint8).contiguous(memory_format=torch.channels_last)
    return make_batch(target, models.embedder, index, kind)


def make_training(models: Models, recipe: Recipe, bfloat16: bool) -> Training:
    """Start a training on the device of the models, from the same weights on every device."""
    torch.manual_seed(0)
    cpu = torch.device("cpu")
    networks = build_networks(recipe, models.embedder, torch.zeros(models.embedder.dim), cpu)
    weights = networks.generator.state_dict(), networks.discriminator.state_dict()
    networks = build_networks(recipe, models.embedder, torch.zeros(models.embedder.dim), models.device)
    networks.generator.load_state_dict(weights[0])
    networks.discriminator.load_state_dict(weights[1])
    return Training(networks, Path(), bfloat16=bfloat16)


def compare_steps(crops: Tensor, cpu: Models, gpu: Models, side: int) -> Iterator[Row]:
    """Compare one step in float32, the average of weights after it, and one in bfloat16."""
    recipe = make_recipe(side, 2)
    batch = resized_batch(crops, cpu, recipe)
    trained = []
    for models, half in ((cpu, False), (gpu, False), (gpu, True)):
        training = make_training(models, recipe, half)
        training.step(iter([batch]))
        # Adam's first average is a multiple of the gradient; its step is the sign, which is chance near 0.
        state = training.optimiser_g.state
        gradient = torch.cat([state[weight]["exp_avg"].flatten() for weight in training.generator.parameters()])
        average = torch.cat([weight.flatten() for weight in training.ema.parameters()])
        trained.append((gradient.double().cpu(), average.double().cpu()))
    (gradient, average), (other, other_average), (half_gradient, _) = trained
    # At random weights the gradient is ill-conditioned: weights changed by 1e-6 of their size move it by 2e-4.
    yield Row("training step, float32: 1 - cosine of the gradient", 1 - _cosine(gradient, other), 1e-2, "")
    yield Row("EMA after it", float((average - other_average).abs().max()), 1e-3, "")
    yield Row("training step, bfloat16: 1 - cosine of the gradient", 1 - _cosine(gradient, half_gradient), 0.3, "")


def _cosine(a: Tensor, b: Tensor) -> float:
    return float((a @ b) / (a.norm() * b.norm()))


def step_rates(crops: Tensor, cpu: Models, gpu: Models, side: int, seconds: float) -> Iterator[tuple[str, float]]:
    """Yield images/s of the published loop and of Swapset's step, at the batch of a GPU or, on a CPU, of two.

    Convolutions in float32 use TF32, as they do by default; loading the networks of curation has switched it off.
    """
    torch.backends.cudnn.allow_tf32 = True
    on_gpu = gpu.device.type == "cuda"
    recipe = make_recipe(side, 16 if on_gpu else 2)
    batches = [
        resized_batch(crops, cpu, recipe, index, "same" if index < 2 else "cross").to(gpu.device) for index in range(4)
    ]
    title = f"{side} px, batch {recipe.batch}"
    published = PublishedLoop(recipe, gpu.embedder, batches, gpu.device)
    name = f"training step, published loop, float32, {title}"
    yield name, rate(published.step, recipe.batch, seconds, gpu.device, **_PACE)
    del published
    for source, half in (("fresh", False), ("same", False), ("same", True)):
        training = make_training(gpu, replace(recipe, discriminator_batch=source), half)

        def step(turn: int, training: Training = training) -> None:
            training.step(iter(batches[:2] if turn % 2 == 0 else batches[2:]))

        name = f"training step, {source} batch for D, {'bfloat16' if half else 'float32'}, {title}"
        yield name, rate(step, recipe.batch, seconds, gpu.device, **_PACE)
