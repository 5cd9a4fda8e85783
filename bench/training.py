"""Training against the published loop, loading against an ImageFolder, and the memory of a step.

    SWAPSET_DATA=DIR python -m bench.training step    [--size 224] [--batch 2] [--rounds 3] [--bfloat16]
    SWAPSET_DATA=DIR python -m bench.training loader  [--images 3000] [--workers 2]
    SWAPSET_DATA=DIR python -m bench.training memory  [--recipes baseline dynamic diffusion] [--batch 16]

step: one update of G and one of D, ours and a plain one (bench/published_loop.py), in turn, in one process, on the
same faces with the same embedder, in float32, and with --bfloat16 ours in that as well. loader: the same JPEGs as
files in folders, and as a shard that is read by offset. memory: a process for each recipe makes one step; its peak
resident memory, less what it held before.
Prints Markdown. Ratios are of CPU time, which other programs on the machine disturb less than the clock.
"""

import argparse
import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.photos import data, sample
from bench.published_loop import PublishedLoop
from curate.faces.align import fit
from curate.faces.embedder import Embedder
from curate.faces.models import load_embedder
from manifests.landmarks import TEMPLATES
from manifests.writer import FacesWriter
from train import complexity, losses
from train.build import build_discriminator, build_generator, build_networks
from train.config import Recipe, load_recipe
from train.data.faces import TrainingFaces
from train.data.loader import Batch, PairLoader
from train.data.pairs import Kind, PairSampler
from train.training import Training

SIDE = TEMPLATES["simswap-224"].size[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["step", "loader", "memory"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bfloat16", action="store_true", help="slow where the CPU has it not in its hardware")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--recipes", nargs="+", default=["baseline", "dynamic", "diffusion"])
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way and given.part == "memory":
        print(*_one_step(load_recipe(given.way, batch=given.batch)))
    elif given.way:
        print(*_load(given.way, given.root, given.images, given.workers))
    elif given.part == "step":
        steps(given.size, given.batch or 2, given.rounds, given.bfloat16)
    elif given.part == "loader":
        loaders(given.images, given.workers)
    else:
        memory(given.recipes, given.batch or 16)


def steps(size: int, batch: int, rounds: int, bfloat16: bool) -> None:
    """Both loops, and ours with both ways to feed the discriminator; then where ours spends its time."""
    embedder = load_embedder("builtin")
    recipe = replace(Recipe(), size=size, batch=batch)
    faces = [_batch(recipe, embedder, index, "same" if index < 2 else "cross") for index in range(4)]
    ways: dict[str, Callable[[int], object]] = {"published": PublishedLoop(recipe, embedder, faces).step}
    kinds = [("fresh", False), ("same", False), *([("same", True)] if bfloat16 else [])]
    for choice, half in kinds:
        ours = _training(replace(recipe, discriminator_batch=choice), embedder, bfloat16=half)
        name = f"ours, {choice} batch for D{', bfloat16' if half else ''}"
        ways[name] = lambda turn, ours=ours: ours.step(iter(_of_turn(faces, turn)))  # type: ignore[misc]
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, step in ways.items():
            clock, began = time.perf_counter(), time.process_time()
            step(turn)
            if turn:  # the first round warms up
                cpu[name].append(time.process_time() - began)
                wall[name].append(time.perf_counter() - clock)
    first = float(np.mean(cpu["published"]))
    print(f"{size} px, batch {batch}, {torch.get_num_threads()} threads, means of {rounds} steps\n")
    print("| loop | CPU s a step | s a step | images/s | times as fast (CPU) |")
    print("|---|---:|---:|---:|---:|")
    for name in ways:
        mean, clocked = float(np.mean(cpu[name])), float(np.mean(wall[name]))
        print(f"| {name} | {mean:.2f} | {clocked:.2f} | {batch / clocked:.2f} | {first / mean:.2f} |")
    print("\n| of ours | CPU s |")
    print("|---|---:|")
    for name, seconds in _shares(ours, faces[2]).items():
        print(f"| {name} | {seconds:.2f} |")


def _shares(ours: Training, batch: Batch) -> dict[str, float]:
    """CPU seconds of what a step is made of, each alone."""
    p = ours.parts
    target, identity = p.target(batch), p.identity(batch.latents)
    p.discriminator.requires_grad_(False)
    with torch.no_grad():
        fake = p.generator(target, identity)
    fake.requires_grad_()

    def backward(loss: torch.Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def both() -> None:
        p.discriminator.requires_grad_(True)
        backward(losses.hinge_d(p.discriminator(target), p.discriminator(fake.detach())))

    def adam() -> None:
        ours.optimiser_g.step()
        ours.optimiser_d.step()
        ours._average()

    def of_face() -> None:
        rgb01 = p.generator.to_rgb01(fake)
        backward(losses.identity_loss(p.embedder, rgb01, batch.matrices, batch.latents, p.centre))

    work: dict[str, Callable[[], object]] = {
        "G, forward and backward": lambda: backward(p.generator(target, identity).mean()),
        "D judging a fake, forward and backward to its pixels": lambda: backward(losses.hinge_g(p.discriminator(fake))),
        "identity loss, forward and backward": of_face,
        "D on real and fake, forward and backward": both,
        "Adam and the moving average": adam,
    }
    spent = {}
    for name, do in work.items():
        began = time.process_time()
        do()
        spent[name] = time.process_time() - began
    return spent


def loaders(images: int, workers: int) -> None:
    """The same crops, 224 px JPEGs of quality 95 without subsampling, from one shard and from a tree of files."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _make(root)
        print(f"batches of 16, {workers} workers: threads here, processes there\n")
        print("| loader | images/s | CPU ms an image |")
        print("|---|---:|---:|")
        for way in ("files", "files, as uint8", "shard", "shard with masks"):
            arguments = ["--way", way, "--root", folder, "--images", str(images), "--workers", str(workers)]
            seconds, cpu = map(float, _run("loader", *arguments).split())
            print(f"| {way} | {images / seconds:,.0f} | {1e3 * cpu / images:.2f} |")


def _load(way: str, root: Path, images: int, workers: int) -> tuple[float, float]:
    """Seconds and CPU seconds, those of worker processes too, for so many images, the first batch aside."""
    torch.set_num_threads(1)
    if way.startswith("files"):
        batches: Iterator[object] = _of_files(root, way, images, workers)
    else:
        photos = _photos(root)
        latents = np.ones((len(photos), 128), np.float16)
        mask: Any = "face_hair" if way.endswith("masks") else "none"
        pairs = PairSampler(photos, 16, 0)
        loader = PairLoader(pairs, lambda _: "same", latents, TEMPLATES["arcface-112"], SIDE, mask, workers=workers)
        batches = iter(loader)
    next(batches)
    wall, cpu = time.perf_counter(), _cpu()
    for _ in range(images // 16):
        next(batches)
    seconds = time.perf_counter() - wall
    del batches  # worker processes end here, and then count
    return seconds, _cpu() - cpu


def _of_files(root: Path, way: str, images: int, workers: int) -> Iterator[object]:
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    # As float32 and normalised, which the published loop reads; or the bytes alone.
    normal = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    steps = [transforms.PILToTensor()] if way.endswith("uint8") else [transforms.ToTensor(), normal]
    folder = ImageFolder(str(root / "files"), transforms.Compose(steps))
    # One long epoch: starting workers anew is not counted against it.
    order = RandomSampler(folder, replacement=True, num_samples=images + 32)
    return iter(DataLoader(folder, 16, sampler=order, num_workers=workers))


def memory(recipes: list[str], batch: int) -> None:
    """Each recipe's estimate (as `simswap fit --dry-run` makes it) beside what a step took."""
    print(f"224 px, float32, batch {batch}: one update of each network\n")
    print("| recipe | estimate, GiB | taken, GiB |")
    print("|---|---:|---:|")
    for name in recipes:
        recipe = load_recipe(name, batch=batch)
        shape = (1, 3, recipe.size, recipe.size)
        g = complexity.measure(build_generator(recipe, 128), shape, (1, 128))
        d = complexity.measure(build_discriminator(recipe), shape)
        estimate = g.training_bytes(batch) + 4 * g.parameters + d.training_bytes(2 * batch)
        before, most = map(int, _run("memory", "--way", name, "--batch", str(batch)).split())
        print(f"| {name} | {estimate / 2**30:.1f} | {(most - before) / 2**30:.1f} |", flush=True)


def _one_step(recipe: Recipe) -> tuple[int, int]:
    """Bytes resident before the networks exist, and the most that were while making a step."""
    embedder = load_embedder("builtin")
    batches = [_batch(recipe, embedder, index, "same") for index in range(2)]
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    _training(recipe, embedder).step(iter(batches))
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _training(recipe: Recipe, embedder: Embedder, bfloat16: bool = False) -> Training:
    torch.manual_seed(0)
    networks = build_networks(recipe, embedder, torch.zeros(embedder.dim), torch.device("cpu"))
    return Training(networks, Path(), bfloat16=bfloat16)


def _of_turn(faces: list[Batch], turn: int) -> list[Batch]:
    """The two batches of a step: of one person, then of two people, in turn."""
    return faces[:2] if turn % 2 == 0 else faces[2:]


def _batch(recipe: Recipe, embedder: Embedder, index: int, kind: Kind) -> Batch:
    """Real faces, each with a source photo of the same person or another; latents of that photo."""
    paths = sample("celebs-112", "*/*.jpg", 8 * recipe.batch)[index::8][: recipe.batch]
    pixels = np.stack([_pixels(path, recipe.size) for path in paths])
    target = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    points = np.repeat(TEMPLATES["simswap-224"].points[2:3] * (recipe.size / SIDE), len(paths), 0)
    matrices = torch.from_numpy(fit(points, embedder.template)[0].astype(np.float32))
    source = target.roll(1, 0)
    with torch.no_grad():
        latents = losses.embed(embedder, source.float() / 255, matrices)
    order = np.arange(len(paths))
    return Batch(
        index, kind, order, np.roll(order, 1), target, latents, torch.full((len(paths),), kind == "same"),
        matrices, torch.ones(len(paths), 1, recipe.size, recipe.size, dtype=torch.uint8), source,
    )  # fmt: skip  # type: ignore[arg-type]


def _pixels(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def _make(root: Path) -> None:
    """`root`/shard.parquet and `root`/files: 16 people x 100 crops and masks of celebs-112."""
    labels = [_png(path) for path in sample("celebamask", "masks/*.png", 50)]
    people = sorted(path for path in (data() / "celebs-112").iterdir() if path.is_dir())
    with FacesWriter(root / "shard.parquet") as writer:
        for person in people:
            rows = []
            (root / "files" / person.name).mkdir(parents=True)
            for number, path in enumerate(sorted(person.glob("*.jpg"))[::4][:100]):
                out = io.BytesIO()
                Image.fromarray(_pixels(path, SIDE)).save(out, "JPEG", quality=95, subsampling=0)
                (root / "files" / person.name / path.name).write_bytes(out.getvalue())
                ident = f"{person.name}/{path.name}"
                rows.append({
                    "image_id": ident, "identity": person.name, "face_id": f"{ident}#0", "matrix": [0.0] * 6,
                    "crop": out.getvalue(), "mask": labels[number % len(labels)],
                })  # fmt: skip
            writer.add(rows)
    assert writer.offsets is not None
    table = writer.offsets
    names = [face.split("/")[0] for face in table["face_id"].to_pylist()]
    columns = {name: table[name].to_numpy() for name in table.column_names if name.endswith(("offset", "length"))}
    np.savez(root / "offsets.npz", person=np.unique(names, return_inverse=True)[1], **columns)


def _photos(root: Path) -> TrainingFaces:
    """What training knows of the shard's faces."""
    told = dict(np.load(root / "offsets.npz"))
    count = len(told["person"])
    return TrainingFaces(
        root=root, side=SIDE, people=[str(who) for who in range(told["person"].max() + 1)], shards=["shard.parquet"],
        face_id=np.array([str(face) for face in range(count)], object), person=told.pop("person"),
        shard=np.zeros(count, np.int64), box=np.zeros((count, 4), np.float32), matrix=np.zeros((count, 2, 3)),
        points=np.repeat(TEMPLATES["simswap-224"].points[2:3], count, 0).astype(np.float32),
        **{name: told[name].astype(np.int64) for name in told},
    )  # fmt: skip


def _png(path: Path) -> bytes:
    out = io.BytesIO()
    with Image.open(path) as image:
        Image.fromarray(np.asarray(image)).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def _run(part: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "bench.training", part, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
