"""`simswap fit`: a dataset, a recipe and a folder -> a training there, started or continued."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curate.errors import ModelError
from curate.faces.embedder import Embedder
from curate.faces.models import embedders_of, find_embedder, load_embedder
from manifests.errors import OutputError
from manifests.layout import DatasetInfo
from manifests.output import OutputLock, atomic, remove_partials
from manifests.reader import Dataset
from train import checkpoint, complexity
from train.build import build_discriminator, build_generator, build_parts
from train.config import Recipe
from train.data.faces import TrainingFaces, read_training_faces
from train.data.latents import Latents, latent_centre, read_latents
from train.data.loader import Batch, PairLoader
from train.data.pairs import PairRows, PairSampler
from train.errors import CheckpointError, RecipeError
from train.loop import Status, Training, facts_of, kind_of, run
from train.processes import Processes

RUN = "run.json"
_SAMPLES = 6


@dataclass(frozen=True)
class Request:
    """What the user asked for. workers: threads of a process that decode; None shares out the cores, at most 16 each.

    compile: pass the networks through torch.compile. bfloat16: whether autocast is on; None on a GPU only.
    """

    data: Path
    recipe: Recipe
    out: Path
    device: str
    workers: int | None = None
    deterministic: bool = False
    compile: bool = False
    bfloat16: bool | None = None


@dataclass(frozen=True)
class Plan:
    """A request whose dataset and embedder were found to fit the recipe."""

    request: Request
    dataset: Dataset
    photos: TrainingFaces
    embedder: Embedder

    @property
    def facts(self) -> dict[str, Any]:
        """What the run's folder and its checkpoints say of it."""
        return facts_of(self.request.recipe, self.dataset.policy_hash(), self.embedder.embedder_id, self.embedder.dim)


def plan(request: Request) -> Plan:
    """Check everything that can be checked before anything is written.

    Raises DatasetError: not a dataset, nothing kept, another template, a missing shard. ModelError: the embedder.
    RecipeError: what cannot be compiled.
    """
    if request.compile and request.recipe.gradient_penalty:
        raise RecipeError(
            "gradient_penalty differentiates twice, which torch.compile cannot: leave out --compile, or set it to 0"
        )
    dataset = Dataset.open(request.data)
    photos = read_training_faces(dataset, request.recipe.template)
    embedder = _embedder(dataset, request.recipe.embedder)
    return Plan(request, dataset, photos, embedder)


def describe(planned: Plan) -> list[str]:
    """Lines that say what a training would be: configuration, data, parameters, multiply-adds, memory."""
    recipe, photos = planned.request.recipe, planned.photos
    held = photos.held_out(recipe.held_out)
    generator, discriminator = build_generator(recipe, planned.embedder.dim), build_discriminator(recipe)
    shape = (1, 3, recipe.size, recipe.size)
    g = complexity.measure(generator, shape, (1, planned.embedder.dim))
    d = complexity.measure(discriminator, shape)
    part = recipe.batch // recipe.accumulate
    memory = g.training_bytes(part) + 4 * g.parameters + d.training_bytes(2 * part)
    people = len(photos.people) - len(np.unique(photos.person[held]))
    return [
        *recipe.describe(),
        "",
        f"data           {len(photos) - int(held.sum()):,} photos of {people:,} people, {planned.dataset.path}",
        f"held out       {int(held.sum()):,} photos of {len(photos.people) - people:,} people",
        f"embedder       {planned.embedder.name}, {planned.embedder.dim} numbers, id {planned.embedder.embedder_id}",
        f"generator      {g.parameters:,} parameters, {g.macs / 1e9:.2f} G multiply-adds an image",
        f"discriminator  {d.parameters:,} parameters, {d.macs / 1e9:.2f} G multiply-adds an image",
        f"memory         about {memory / 2**30:.1f} GiB in float32 at {part} images, without the embedder",
        f"steps          {-(-recipe.images // recipe.batch):,} of {recipe.batch} images",
    ]


def fit(
    planned: Plan, say: Callable[[str], None], tell: Callable[[Status], None], processes: Processes | None = None
) -> Path:
    """Train, from the newest checkpoint of the run's folder where there is one; returns that of the end.

    `say` gets a line now and then; `tell` every log line's numbers, in the first of the `processes`. Without
    `processes` this one is alone. Raises CheckpointError: the folder is of another recipe, policy or embedder, or its
    newest checkpoint is damaged. OutputError, BusyError, DivergedError.
    """
    request, recipe = planned.request, planned.request.recipe
    device = torch.device(request.device)
    processes = processes or Processes(0, 1, device)
    if request.out.resolve().is_relative_to(request.data.resolve()):
        raise OutputError(
            f"{request.out} lies inside the dataset {request.data}, which a training only reads: choose another --out"
        )
    if request.deterministic:
        _deterministic(request.device)
    with ExitStack() as locked:
        with processes.first_then_others():
            if processes.first:
                locked.enter_context(OutputLock(request.out))
                _claim(planned)
                remove_partials(request.out)
            cache = request.out / "latents"
            stored = read_latents(planned.dataset, planned.photos, planned.embedder.to(device), cache, _every(say))
        held = planned.photos.held_out(recipe.held_out)
        rows = np.flatnonzero(~held)
        photos, latents = planned.photos.take(rows), stored[rows]
        torch.manual_seed(recipe.seed)
        centre = torch.from_numpy(latent_centre(latents, recipe.centre_above))
        parts = build_parts(recipe, planned.embedder, centre, device)
        training = Training(parts, request.out, processes, compile=request.compile, bfloat16=request.bfloat16)
        loader = _loader(planned, photos, latents, request, processes)
        newest = checkpoint.newest(request.out / "checkpoints")
        if newest is not None:
            found = checkpoint.read(newest)
            _must_match(planned, found.facts, newest)
            loader.load_state_dict(found.facts["loader"])
            training.load(found)
            say(f"continuing after {training.images:,} images, from {newest}")
        try:
            run(training, loader, _samples(planned, stored, held), planned.facts, tell)
        finally:
            loader.close()
        # The first process may still be writing the last checkpoint.
        processes.wait()
    last = checkpoint.newest(request.out / "checkpoints")
    assert last is not None
    return last


def _embedder(dataset: Dataset, choice: str) -> Embedder:
    """The recipe's embedder; 'dataset' is the one that the dataset was measured with."""
    if choice != "dataset":
        return load_embedder(choice)
    info = _first_part(dataset)
    return find_embedder(info.embedder_id, f"dataset {dataset.path}", first=embedders_of(info))


def _first_part(dataset: Dataset) -> DatasetInfo:
    """What says which models measured it; a merged dataset's parts agree."""
    return next((Dataset.open(path).info for path in dataset.parts.values()), dataset.info)


def _loader(
    planned: Plan, photos: TrainingFaces, latents: Latents, request: Request, processes: Processes | None = None
) -> PairLoader:
    recipe = planned.request.recipe
    number, count = (processes.number, processes.count) if processes else (0, 1)
    pairs = PairSampler(photos, recipe.batch // recipe.accumulate, recipe.seed, recipe.flip)
    return PairLoader(
        pairs,
        kind_of(recipe),
        latents,
        planned.embedder.template,
        recipe.size,
        mask=recipe.mask,  # type: ignore[arg-type]
        workers=request.workers or max(1, min(16, len(os.sched_getaffinity(0)) // count)),
        pin=request.device.startswith("cuda"),
        turn=(number, count),
    )


def _samples(planned: Plan, latents: Latents, held: Any) -> Batch:
    """Pairs for the sample grids: held-out people where there are two, each with the next one's identity."""
    photos = planned.photos
    if len(np.unique(photos.person[held])) > 1:
        rows = np.flatnonzero(held)
        photos, latents = photos.take(rows), latents[rows]
    people = np.unique(np.linspace(0, len(photos.people) - 1, _SAMPLES).astype(np.int64))
    targets = photos.first[people]
    never = np.zeros(len(people), bool)
    single = replace(planned.request, workers=1)
    loader = _loader(planned, photos, latents, single)
    loader.sources = True
    try:
        return loader.assemble(0, "cross", PairRows(targets, np.roll(targets, -1), never, never))
    finally:
        loader.close()


def _claim(planned: Plan) -> None:
    """Make the run's folder this training's, or check that it is."""
    out = planned.request.out
    path = out / RUN
    if not path.exists():
        strange = sorted(
            entry.name for entry in out.iterdir() if entry.name != ".lock" and ".partial-" not in entry.name
        )
        if strange:
            raise OutputError(f"{out} holds something else ({strange[0]}) and no {RUN}: choose another --out")
        with atomic(path) as partial:
            partial.write_text(json.dumps(planned.facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}): restore it, or choose another --out") from error
    _must_match(planned, told, path)


def _must_match(planned: Plan, told: dict[str, Any], path: Path) -> None:
    """Raise CheckpointError unless `told`, from `path`, is of this very training."""
    differ = planned.request.recipe.differences(told["recipe"])
    if differ:
        raise CheckpointError(
            f"{path} is of a training by another recipe ({'; '.join(differ)}): continue it with its own recipe and "
            "options, or choose another --out"
        )
    for what, name in (("policy", "policy_hash"), ("embedder", "embedder_id")):
        if told[name] != planned.facts[name]:
            raise CheckpointError(
                f"{path} is of a training on data of another {what} ({told[name]}, here {planned.facts[name]}): "
                f"{'decide by that policy again' if what == 'policy' else 'train with that embedder'}, or choose "
                "another --out"
            )


def _deterministic(device: str) -> None:
    if device != "cpu":
        raise ModelError(f"--deterministic works on the CPU only, not on {device}: add --device cpu")
    torch.use_deterministic_algorithms(True)


def _every(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """Tells how far the latents are, every tenth of them."""

    def tell(done: int, of: int) -> None:
        if done == of or done * 10 // of != (done - 64) * 10 // of:
            say(f"latents: {done:,} of {of:,} faces")

    return tell
