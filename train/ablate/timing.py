"""A recipe -> how long its generator takes for one image: the first forward pass of a process, and the later ones."""

import multiprocessing
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch

from train.build import build_generator
from train.config import Recipe

PROCESSES = 3
"""Fresh processes that are timed of each recipe, in turn with the other recipes'."""

_WARM_UP, _PASSES = 3, 10


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one image: `first` in a fresh process (what libraries prepare is in it), `steady` the median."""

    first: float
    steady: float


def time_fresh(recipes: Sequence[Recipe], latent_dim: int, device: str) -> list[Timing]:
    """One Timing a recipe: medians over processes of their own, taken in turn so that a slow minute hits all alike."""
    rounds: list[list[Timing]] = [[] for _ in recipes]
    for _ in range(PROCESSES):
        for found, recipe in zip(rounds, recipes, strict=True):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                found.append(pool.submit(time_here, recipe, latent_dim, device).result())
    return [
        Timing(statistics.median(one.first for one in found), statistics.median(one.steady for one in found))
        for found in rounds
    ]


@torch.inference_mode()
def time_here(recipe: Recipe, latent_dim: int, device: str) -> Timing:
    """The same in this process, whose `first` is no first one if it has run a network before."""
    generator = build_generator(recipe, latent_dim).eval().to(device)
    target = torch.rand(1, 3, recipe.size, recipe.size, device=device)
    latent = torch.nn.functional.normalize(torch.ones(1, latent_dim, device=device))
    _wait(device)

    def run() -> float:
        began = time.perf_counter()
        generator(target, latent)
        _wait(device)
        return 1000 * (time.perf_counter() - began)

    first = run()
    for _ in range(_WARM_UP):
        run()
    return Timing(first, statistics.median(run() for _ in range(_PASSES)))


@torch.inference_mode()
def multiply_adds_per_second(device: str) -> float:
    """What a convolution of an identity block's shape reaches on this device, in float32; a fraction of a second."""
    channels, side, batch = 256, 28, 4
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device)
    x = torch.rand(batch, channels, side, side, device=device)
    layer(x)
    _wait(device)
    passes = 5
    began = time.perf_counter()
    for _ in range(passes):
        layer(x)
    _wait(device)
    return passes * batch * 9 * channels**2 * side**2 / (time.perf_counter() - began)


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
