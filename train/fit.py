"""Fit a generator: train a recipe on a dataset into a folder, from the start or from the newest checkpoint there."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from curate.counts import counted
from curate.errors import ModelError
from curate.faces.embedder import Embedder
from curate.faces.models import embedders_of, find_embedder, load_embedder
from curate.listener import SILENT, Listener
from curate.threads import default_threads
from manifests.errors import OutputError
from manifests.layout import DatasetInfo
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.selection import Selection, read_selection
from train import checkpoint, complexity
from train.build import build_discriminator, build_generator, build_networks
from train.checkpoint import RunFacts
from train.config import Recipe
from train.data.faces import TrainingFaces, read_training_faces
from train.data.latents import Latents, latent_centre, read_latents
from train.data.loader import Batch, PairLoader
from train.data.pairs import PairRows, PairSampler
from train.data.people import few_photos, mean_latents, photo_spread, select_people, spreads
from train.errors import RecipeError
from train.fine_tuning import start_from
from train.loop import Interruptible, never_interrupted, run_loop
from train.networks.conditioning import identity_conditioning
from train.networks.general import GeneralGenerator
from train.networks.people import PeopleGenerator, parse_people
from train.processes import Processes
from train.run_folder import record_run, recorded_run, require_same
from train.training import Training, batch_kinds

_SAMPLES = 6  # rows of a sample grid


@dataclass(frozen=True)
class FitRequest:
    """A training.

    Attributes:
        data: a curated dataset.
        recipe: what is trained.
        out: the run's folder.
        device: "cpu", "cuda", "cuda:1", ...
        workers: decoding threads of a process; None divides the cores among the processes, at most 16 each.
        deterministic: the same numbers in every run with as many threads; CPU only.
        compile: compile the networks with torch.compile.
        bfloat16: autocast to bfloat16; None enables it on a GPU.
        selection: file that lists the photos to train on (`manifests.selection`); None for all kept ones.
        start: checkpoint whose generator a new training starts from; None for random weights.
    """

    data: Path
    recipe: Recipe
    out: Path
    device: str = "cpu"
    workers: int | None = None
    deterministic: bool = False
    compile: bool = False
    bfloat16: bool | None = None
    selection: Path | None = None
    start: Path | None = None


@dataclass(frozen=True)
class FitPlan:
    """A request whose dataset and embedder fit the recipe."""

    request: FitRequest
    dataset: Dataset
    photos: TrainingFaces
    embedder: Embedder
    selection: Selection | None = None

    @property
    def facts(self) -> RunFacts:
        """What the run's folder and its checkpoints record of the training."""
        return RunFacts(
            self.request.recipe,
            self.dataset.policy_hash(),
            self.embedder.embedder_id,
            self.embedder.dim,
            selection=self.selection.digest if self.selection else None,
        )


def plan(request: FitRequest) -> FitPlan:
    """Check everything that can be checked before anything is written.

    Raises:
        DatasetError: not a dataset, no photo kept, another template, a missing shard, a person who is not in it, a
            selection of photos that are not kept.
        ModelError: the embedder is not on this machine.
        RecipeError: the recipe cannot be compiled.
    """
    if request.compile and request.recipe.distils and request.recipe.feature_distillation:
        raise RecipeError(
            "feature_distillation reads features inside of the generator, which torch.compile hides: leave out "
            "--compile, or set it to 0"
        )
    if request.compile and request.recipe.gradient_penalty:
        raise RecipeError(
            "gradient_penalty differentiates twice, which torch.compile cannot: leave out --compile, or set it to 0"
        )
    dataset = Dataset.open(request.data)
    selection = read_selection(request.selection) if request.selection else None
    photos = read_training_faces(dataset, request.recipe.template, selection)
    if request.recipe.generator == "people":
        photos = select_people(photos, parse_people(request.recipe.people))
        # The names are part of what is trained, so they are recorded with the recipe.
        request = replace(request, recipe=replace(request.recipe, people=", ".join(photos.people)))
    embedder = _embedder(dataset, request.recipe.embedder)
    return FitPlan(request, dataset, photos, embedder, selection)


def describe(planned: FitPlan) -> list[str]:
    """Lines that describe the training: recipe, data, parameters, multiply-adds, memory."""
    recipe, photos = planned.request.recipe, planned.photos
    held_out = photos.held_out(recipe.held_out, recipe.held_out_photos)
    generator, discriminator = build_generator(recipe, planned.embedder.dim), build_discriminator(recipe)
    shape = (1, 3, recipe.size, recipe.size)
    g = complexity.measure(generator, shape, (1, generator.condition_dim))
    d = complexity.measure(discriminator, shape)
    part = recipe.batch // recipe.accumulate
    memory = g.training_bytes(part) + 4 * g.parameters + d.training_bytes(2 * part)
    people = len(np.unique(photos.person[~held_out]))
    return [
        *(f"{key.name:<21} {key.value:<14} {key.meaning}" for key in recipe.describe()),
        "",
        *([f"selection      {planned.selection.path}"] if planned.selection else []),
        f"data           {counted(len(photos) - int(held_out.sum()), 'photo')} of {counted(people, 'person')}, "
        f"{planned.dataset.path}",
        f"held out       {counted(int(held_out.sum()), 'photo')} of "
        f"{counted(len(np.unique(photos.person[held_out])), 'person')}",
        f"embedder       {planned.embedder.name}, {planned.embedder.dim} numbers, id {planned.embedder.embedder_id}",
        f"generator      {g.parameters:,} parameters, {g.macs / 1e9:.2f} G multiply-adds per image",
        f"discriminator  {d.parameters:,} parameters, {d.macs / 1e9:.2f} G multiply-adds per image",
        f"memory         about {memory / 2**30:.1f} GiB in float32 at {part} images, without the embedder",
        *(f"caution        {line}" for line in _cautions(planned)),
        f"steps          {-(-recipe.images // recipe.batch):,} of {recipe.batch} images",
    ]


def run(
    planned: FitPlan,
    listener: Listener = SILENT,
    processes: Processes | None = None,
    interruptible: Interruptible = never_interrupted,
) -> Path:
    """Train, from the newest checkpoint of the run's folder where there is one.

    Args:
        planned: from `plan`.
        listener: receives the images trained on, and each line of the log as a note.
        processes: the processes that divide each batch, of which the first one writes; None for this one alone.
        interruptible: see `train.loop.run_loop`. An interrupted training continues when it is run again.

    Returns:
        Path of the last checkpoint.

    Raises:
        CheckpointError: the folder is of another recipe, policy or embedder, or its newest checkpoint is damaged; or
            `start` has another architecture or embedder.
        OutputError: the folder lies inside the dataset, holds other files, or cannot be written.
        BusyError: another run is using the folder.
        DivergedError: a loss is no longer finite.
    """
    request = planned.request
    device = torch.device(request.device)
    processes = processes or Processes(0, 1, device)
    if request.out.resolve().is_relative_to(request.data.resolve()):
        raise OutputError(
            f"{request.out} lies inside the dataset {request.data}, which a training only reads: choose another --out"
        )
    if request.deterministic:
        _use_deterministic_algorithms(request.device)
    with ExitStack() as locked:
        with processes.first_then_others():
            if processes.first:
                locked.enter_context(OutputLock(request.out))
                record_run(request.out, planned.facts)
            latents = _latents(planned, device, listener)
        held_out = planned.photos.held_out(request.recipe.held_out, request.recipe.held_out_photos)
        training, loader = _start(planned, latents, held_out, processes)
        for line in _cautions(planned) if processes.first else []:
            listener.note(f"caution: {line}")
        if request.recipe.people and (note := few_photos(planned.photos)):
            listener.note(note)
        try:
            _resume(planned, training, loader, listener)
            run_loop(training, loader, _samples(planned, latents, held_out), planned.facts, listener, interruptible)
        finally:
            loader.close()
        # The first process may still be writing the last checkpoint.
        processes.wait()
    last = checkpoint.newest(request.out / "checkpoints")
    assert last is not None
    return last


def _cautions(planned: FitPlan) -> list[str]:
    """Lines on what has no or little effect in this training."""
    recipe, photos = planned.request.recipe, planned.photos
    lines = recipe.cautions()
    people = len(np.unique(photos.person[photos.held_out(recipe.held_out)]))
    if recipe.held_out and people < 2:
        lines.append(
            f"held_out = {recipe.held_out:g} holds out {people:,} of {counted(len(photos.people), 'person')}, and "
            "`simswap evaluate` needs two whom the training has not seen: raise it (--set held_out=0.2)"
        )
    return lines


def _start(
    planned: FitPlan, latents: Latents, held_out: npt.NDArray[np.bool_], processes: Processes
) -> tuple[Training, PairLoader]:
    """A training before its first step, and its data: all faces but the held-out ones."""
    request, recipe = planned.request, planned.request.recipe
    rows = np.flatnonzero(~held_out)
    photos, latents = planned.photos.take(rows), np.asarray(latents[rows])
    torch.manual_seed(recipe.seed)
    centre = torch.from_numpy(latent_centre(latents, recipe.centre_above))
    networks = build_networks(recipe, planned.embedder, centre, processes.device)
    if request.start is not None and checkpoint.newest(request.out / "checkpoints") is None:
        start_from(request.start, networks)
    if isinstance(networks.generator, PeopleGenerator):
        means = mean_latents(photos, latents, networks.generator.names)
        people = torch.from_numpy(means).to(processes.device)
        spread = torch.from_numpy(spreads(photos, latents, means, networks.centre.cpu().numpy()))
        networks.generator.set_people(people, identity_conditioning(people, networks.centre), spread)
        # Each photo has its person's latent, whatever the embedder made of the photo itself.
        latents = means[photos.person].astype(np.float16)
    if isinstance(networks.generator, GeneralGenerator):
        networks.generator.set_spread(photo_spread(photos, latents, networks.centre.cpu().numpy()))
    training = Training(networks, request.out, processes, compile=request.compile, bfloat16=request.bfloat16)
    sources = networks.generator.reads_source
    return training, pair_loader(planned, photos, latents, processes, sources=sources)


def _resume(planned: FitPlan, training: Training, loader: PairLoader, listener: Listener) -> None:
    """Load the newest checkpoint of the run's folder, if there is one."""
    newest = checkpoint.newest(planned.request.out / "checkpoints")
    if newest is None:
        return
    state = checkpoint.read(newest)
    require_same(planned.facts, recorded_run(state.facts), newest)
    loader.load_state_dict(state.loader)
    training.load(state)
    listener.note(f"continuing after {training.images:,} images, from {newest}")


def _embedder(dataset: Dataset, choice: str) -> Embedder:
    """The recipe's embedder; "dataset" is the one that the dataset was measured with."""
    if choice != "dataset":
        return load_embedder(choice)
    info = _measured_info(dataset)
    return find_embedder(info.embedder_id, f"dataset {dataset.path}", hints=embedders_of(info))


def _measured_info(dataset: Dataset) -> DatasetInfo:
    """The info that records the models; a merged dataset's parts agree on them."""
    return next((Dataset.open(path).info for path in dataset.parts.values()), dataset.info)


def _latents(planned: FitPlan, device: torch.device, listener: Listener) -> Latents:
    """The latent of each face: the dataset's own, or computed once and stored in the run's folder."""
    cache = planned.request.out / "latents"
    embedder = planned.embedder.to(device)
    return read_latents(planned.dataset, planned.photos, embedder, cache, listener)


def pair_loader(
    planned: FitPlan,
    photos: TrainingFaces,
    latents: Latents | npt.NDArray[np.float32],
    processes: Processes | None = None,
    *,
    sources: bool = False,
) -> PairLoader:
    """The batches of a training on these photos. sources: decode the source photos too."""
    request, recipe = planned.request, planned.request.recipe
    number, count = (processes.number, processes.count) if processes else (0, 1)
    pairs = PairSampler(photos, recipe.batch // recipe.accumulate, recipe.seed, recipe.flip)
    return PairLoader(
        pairs,
        batch_kinds(recipe),
        latents,
        planned.embedder.template,
        recipe.size,
        mask=recipe.mask,  # type: ignore[arg-type]
        sources=sources,
        workers=request.workers or default_threads(count),
        pin=request.device.startswith("cuda"),
        turn=(number, count),
    )


def _samples(planned: FitPlan, latents: Latents, held_out: npt.NDArray[np.bool_]) -> Batch:
    """The pairs of the sample grids: of held-out people where there are two, each with the next one's identity."""
    photos = planned.photos
    if len(np.unique(photos.person[held_out])) > 1:
        rows = np.flatnonzero(held_out)
        photos, latents = photos.take(rows), latents[rows]
    people = np.unique(np.linspace(0, len(photos.people) - 1, _SAMPLES).astype(np.int64))
    targets = photos.first[people]
    none = np.zeros(len(people), bool)
    planned = replace(planned, request=replace(planned.request, workers=1))
    loader = pair_loader(planned, photos, latents, sources=True)
    try:
        return loader.assemble(0, "cross", PairRows(targets, np.roll(targets, -1), none, none))
    finally:
        loader.close()


def _use_deterministic_algorithms(device: str) -> None:
    if device != "cpu":
        raise ModelError(f"--deterministic works on the CPU only, not on {device}: add --device cpu")
    torch.use_deterministic_algorithms(True)
