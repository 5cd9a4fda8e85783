"""A training step against the published loop, loading against an ImageFolder, and the memory of a step.

    SWAPSET_DATA=DIR python -m bench.training step    [--size 224] [--batch 2] [--rounds 3] [--bfloat16]
    SWAPSET_DATA=DIR python -m bench.training loader  [--images 3000] [--workers 2]
    SWAPSET_DATA=DIR python -m bench.training memory  [--recipes baseline dynamic diffusion] [--batch 16]

Protocol. step: one update of G and one of D by the published loop (bench/published_loop.py) and by Swapset, in turn in
one process, on the same faces with the same embedder, in float32; with --bfloat16 also Swapset in bfloat16. loader:
the same JPEGs as files in folders, and in a shard that is read by byte offset (bench/loading.py). memory: a new
process for each recipe makes one step; its peak resident memory less that before the networks were built.
Prints Markdown. Ratios are of CPU time, which other programs on the machine affect less than wall-clock time.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench import loading
from bench.batches import make_batch
from bench.crops import read_crop
from bench.photos import sample
from bench.process import Seconds, peak_memory, run_child, timed
from bench.published_loop import PublishedLoop
from curate.faces.embedder import Embedder
from curate.faces.models import load_embedder
from train import complexity, losses
from train.build import build_discriminator, build_generator, build_networks
from train.config import Recipe, load_recipe
from train.data.loader import Batch
from train.data.pairs import Kind
from train.ema import ema_decay, update_ema
from train.networks.conditioning import identity_conditioning
from train.objectives.adversary import target_input
from train.training import Training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["step", "loader", "memory"])
    parser.add_argument("--size", type=int, default=224, help="side of the crops, px (step)")
    parser.add_argument("--batch", type=int, help="default: 2 for step, 16 for memory")
    parser.add_argument("--rounds", type=int, default=3, help="measured steps (step)")
    parser.add_argument("--bfloat16", action="store_true", help="also bfloat16; slow where the CPU emulates it (step)")
    parser.add_argument("--images", type=int, default=3000, help="images to load (loader)")
    parser.add_argument("--workers", type=int, default=2, help="threads or processes (loader)")
    parser.add_argument("--recipes", nargs="+", default=["baseline", "dynamic", "diffusion"], help="(memory)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "step":
        compare_steps(options.size, options.batch or 2, options.rounds, options.bfloat16)
    elif options.part == "loader":
        if options.child:
            loading.run_as_child(options.child, options.root, options.images, options.workers)
        else:
            loading.compare(options.images, options.workers)
    elif options.child:
        print(json.dumps(step_memory(load_recipe(options.child, batch=options.batch))))
    else:
        compare_memory(options.recipes, options.batch or 16)


def compare_steps(size: int, batch: int, rounds: int, bfloat16: bool) -> None:
    """Print the time of a step of each loop, then the parts of Swapset's step."""
    embedder = load_embedder("builtin")
    recipe = replace(Recipe(), size=size, batch=batch)
    # A step takes up to two batches: of one person in even turns, of two people in odd ones.
    batches = [read_batch(recipe, embedder, index, "same" if index < 2 else "cross") for index in range(4)]
    steps: dict[str, Callable[[int], object]] = {"published": PublishedLoop(recipe, embedder, batches).step}
    for source, half in [("fresh", False), ("same", False), *([("same", True)] if bfloat16 else [])]:
        training = make_training(replace(recipe, discriminator_batch=source), embedder, bfloat16=half)
        title = f"Swapset, {source} batch for D{', bfloat16' if half else ''}"
        steps[title] = (
            lambda turn, training=training: training.step(  # type: ignore[misc]
                iter(batches[:2] if turn % 2 == 0 else batches[2:])
            )
        )
    times: dict[str, list[Seconds]] = {title: [] for title in steps}
    for turn in range(rounds + 1):
        for title, step in steps.items():
            times[title].append(timed(lambda step=step, turn=turn: step(turn)))  # type: ignore[misc]
    # The first round warms up.
    means = {title: Seconds(*np.mean(seconds[1:], 0)) for title, seconds in times.items()}
    print(f"{size} px, batch {batch}, {torch.get_num_threads()} threads, means of {rounds} steps\n")
    print("| loop | CPU s per step | s per step | images/s | speed-up (CPU) |")
    print("|---|---:|---:|---:|---:|")
    for title, mean in means.items():
        speed_up = means["published"].cpu / mean.cpu
        print(f"| {title} | {mean.cpu:.2f} | {mean.wall:.2f} | {batch / mean.wall:.2f} | {speed_up:.2f} |")
    print("\n| part of Swapset's step | CPU s |")
    print("|---|---:|")
    for title, cpu in time_parts(training, batches[2]).items():
        print(f"| {title} | {cpu:.2f} |")


def time_parts(training: Training, batch: Batch) -> dict[str, float]:
    """CPU seconds of the parts of a step, each run by itself."""
    networks, generator, discriminator = training.networks, training.generator, training.discriminator
    target, condition = target_input(networks, batch), identity_conditioning(batch.latents, networks.centre)
    discriminator.requires_grad_(False)
    with torch.no_grad():
        fake = generator(target, condition)
    fake.requires_grad_()

    def backward(loss: torch.Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def identity() -> None:
        rgb01 = generator.to_rgb01(fake)
        backward(losses.identity_loss(networks.embedder, rgb01, batch.matrices, batch.latents, networks.centre))

    def discriminator_update() -> None:
        discriminator.requires_grad_(True)
        backward(losses.hinge_d(discriminator(target), discriminator(fake.detach())))

    def optimisers() -> None:
        training.optimiser_g.step()
        training.optimiser_d.step()
        recipe = training.recipe
        update_ema(training.ema, generator, ema_decay(recipe.batch, training.images, recipe.ema_images))

    parts: dict[str, Callable[[], object]] = {
        "G, forward and backward": lambda: backward(generator(target, condition).mean()),
        "D on a fake, forward and backward to its pixels": lambda: backward(losses.hinge_g(discriminator(fake))),
        "identity loss, forward and backward": identity,
        "D on real and fake, forward and backward": discriminator_update,
        "Adam and EMA": optimisers,
    }
    seconds = {}
    for title, part in parts.items():
        start = time.process_time()
        part()
        seconds[title] = time.process_time() - start
    return seconds


def compare_memory(recipes: list[str], batch: int) -> None:
    """Print the estimate for each recipe, as `simswap fit --dry-run` makes it, and the memory that a step takes."""
    print(f"224 px, float32, batch {batch}: one update of each network\n")
    print("| recipe | estimate, GiB | measured, GiB |")
    print("|---|---:|---:|")
    for name in recipes:
        recipe = load_recipe(name, batch=batch)
        shape = (1, 3, recipe.size, recipe.size)
        generator = complexity.measure(build_generator(recipe, 128), shape, (1, 128))
        discriminator = complexity.measure(build_discriminator(recipe), shape)
        estimate = generator.training_bytes(batch) + 4 * generator.parameters  # and the EMA
        estimate += discriminator.training_bytes(2 * batch)
        measured = run_child("bench.training", "memory", "--child", name, "--batch", batch)
        print(f"| {name} | {estimate / 2**30:.1f} | {measured / 2**30:.1f} |", flush=True)


def step_memory(recipe: Recipe) -> int:
    """Peak resident memory of building the networks and making one step, in bytes, less that before."""
    embedder = load_embedder("builtin")
    batches = [read_batch(recipe, embedder, index, "same") for index in range(2)]
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    make_training(recipe, embedder).step(iter(batches))
    return peak_memory() - before


def make_training(recipe: Recipe, embedder: Embedder, bfloat16: bool = False) -> Training:
    """Start a training on the CPU, without latent centring."""
    torch.manual_seed(0)
    networks = build_networks(recipe, embedder, torch.zeros(embedder.dim), torch.device("cpu"))
    return Training(networks, Path(), bfloat16=bfloat16)


def read_batch(recipe: Recipe, embedder: Embedder, index: int, kind: Kind) -> Batch:
    """Read a batch of real faces; the source of each is the one before, declared of the same person or not."""
    paths = sample("celebs-112", "*/*.jpg", 8 * recipe.batch)[index::8][: recipe.batch]
    target = torch.from_numpy(np.stack([read_crop(path, recipe.size) for path in paths])).permute(0, 3, 1, 2)
    return make_batch(target, embedder, index, kind)


if __name__ == "__main__":
    main()
