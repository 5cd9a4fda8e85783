"""Time of a generator's forward pass on one image: the first of a process, and later ones."""

import json
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from curate.engines.local import signals_deferred
from curate.listener import Listener
from manifests.errors import OutputError
from manifests.output import atomic
from manifests.records import read_record
from train.build import build_generator
from train.config import Recipe

PROCESSES = 3
"""Fresh processes in which each generator is timed."""

_WARM_UP, _PASSES = 3, 10
_NOT_ARCHITECTURE = ("images", "seed", "held_out", "teacher", "embedder")


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one image.

    Attributes:
        first: the first pass of a fresh process, with what libraries prepare in it.
        steady: median of later passes.
    """

    first: float
    steady: float


@dataclass(frozen=True)
class TimingRecord:
    """The times in a file. key: what they depend on. times: by `architecture`."""

    key: list[Any]
    times: dict[str, Timing]


def read_or_measure(
    path: Path, recipes: Sequence[Recipe], latent_dim: int, device: str, listener: Listener
) -> dict[str, Timing]:
    """Timing of each architecture: read from `path` if that has all of them, else all are measured, side by side."""
    recipe_of = {architecture(recipe): recipe for recipe in recipes}
    key = [device, latent_dim, sorted(recipe_of)]
    record = read_record(path, TimingRecord, OutputError, "remove it") if path.exists() else TimingRecord([], {})
    if record.key != key:
        listener.note(f"timing {len(recipe_of)} generators, each in fresh processes")
        timings = time_in_fresh_processes(list(recipe_of.values()), latent_dim, device)
        record = TimingRecord(key, dict(zip(recipe_of, timings, strict=True)))
        with atomic(path) as partial:
            partial.write_text(json.dumps(asdict(record), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return record.times


def architecture(recipe: Recipe) -> str:
    """The recipe keys that the time can depend on, as JSON; recipes that differ in losses only are timed separately."""
    keys = json.loads(recipe.canonical_json())
    return json.dumps({name: value for name, value in keys.items() if name not in _NOT_ARCHITECTURE}, sort_keys=True)


def time_in_fresh_processes(recipes: Sequence[Recipe], latent_dim: int, device: str) -> list[Timing]:
    """One Timing per recipe: medians over fresh processes, taken in turn so that a slow minute affects all equally."""
    rounds: list[list[Timing]] = [[] for _ in recipes]
    for _ in range(PROCESSES):
        for timings, recipe in zip(rounds, recipes, strict=True):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                with signals_deferred():
                    timing = pool.submit(time_in_this_process, recipe, latent_dim, device)
                timings.append(timing.result())
    return [
        Timing(
            statistics.median(timing.first for timing in timings),
            statistics.median(timing.steady for timing in timings),
        )
        for timings in rounds
    ]


@torch.inference_mode()
def time_in_this_process(recipe: Recipe, latent_dim: int, device: str) -> Timing:
    """Time the recipe's generator; `first` is meaningful only if this process has run no network before."""
    generator = build_generator(recipe, latent_dim).eval().to(device)
    target = torch.rand(1, 3, recipe.size, recipe.size, device=device)
    latent = torch.nn.functional.normalize(torch.ones(1, generator.condition_dim, device=device))
    _synchronise(device)

    def time_pass() -> float:
        start = time.perf_counter()
        generator(target, latent)
        _synchronise(device)
        return 1000 * (time.perf_counter() - start)

    first = time_pass()
    for _ in range(_WARM_UP):
        time_pass()
    return Timing(first, statistics.median(time_pass() for _ in range(_PASSES)))


@torch.inference_mode()
def multiply_adds_per_second(device: str) -> float:
    """The rate of a float32 convolution shaped like an identity block's; takes a fraction of a second."""
    channels, side, batch = 256, 28, 4
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device)
    x = torch.rand(batch, channels, side, side, device=device)
    layer(x)
    _synchronise(device)
    passes = 5
    start = time.perf_counter()
    for _ in range(passes):
        layer(x)
    _synchronise(device)
    return passes * batch * 9 * channels**2 * side**2 / (time.perf_counter() - start)


def _synchronise(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
