"""`simswap ablate`: recipes and policies on one dataset -> the founding report's tables, measured anew.

Every arm is trained on the same images in the same order from the same seed, as far as its data allow, and judged on
the same pairs of people whom none was trained on. OUT holds views/ (the dataset decided by each policy), arms/ (a run
of `fit` each), results/ and pairs/ (finished arms), and the tables (train/ablate/table.py).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from curate.decide.policy import load_policy
from curate.decide.view import make_view
from manifests.errors import DatasetError
from manifests.output import OutputLock, atomic, remove_partials
from manifests.reader import Dataset
from train import complexity, fit
from train.ablate.timing import Timing, multiply_adds_per_second, time_fresh
from train.build import build_discriminator, build_generator
from train.config import Recipe, load_recipe
from train.data.faces import TrainingFaces, read_training_faces
from train.errors import DivergedError, RecipeError
from train.judge.evaluate import check_apart, judge_of, latents_of, summarise, words_of, write_parquet
from train.judge.judging import Candidate, Setting, score
from train.judge.pairs import held_out

AS_DECIDED = "as decided"
"""The policy's name where none was asked for: the dataset's own manifest."""

REVISION = 1
"""Grows when judging the same arm gives other numbers: those of before are then not taken for finished."""

_CHECKPOINTS = 10  # a killed arm loses at most such a part of its images


@dataclass(frozen=True)
class Arm:
    """One training: `name` is shared by the seeds of one arm, `data` a dataset or a view of one."""

    name: str
    recipe: Recipe
    data: Path

    @property
    def slug(self) -> str:
        """Name of its files."""
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in self.name)
        return f"{safe}-seed{self.recipe.seed}"


@dataclass(frozen=True)
class Request:
    """What is to be trained and judged. The first arm's name is what A and T are told against.

    judged_on: datasets (views) that must all keep a photo for it to be judged on. pairs: of either kind, at most.
    """

    out: Path
    arms: Sequence[Arm]
    judged_on: Sequence[Path]
    device: str
    judge: str | None = None
    pairs: int = 500
    workers: int | None = None


@dataclass(frozen=True)
class Result:
    """What one arm came to. `key` says what it was made of; seconds: of training steps; memory: bytes, 0 on the CPU."""

    name: str
    seed: int
    key: dict[str, Any]
    images: int
    photos: int
    people: int
    parameters: int
    macs: int
    first_ms: float
    steady_ms: float
    seconds: float
    images_per_second: float
    memory_bytes: int
    checkpoint: str
    metrics: dict[str, dict[str, float | int | None]]


@dataclass(frozen=True)
class Finished:
    """All arms that came to an end, with their pairs (COLUMNS of judge/judging.py), and what became of the others."""

    results: list[Result]
    pairs: list[pa.Table]
    failed: dict[str, str] = field(default_factory=dict)
    judge: str = ""
    judged: str = ""


def arms_of(
    recipes: Sequence[str],
    views: dict[str, Path],
    images: int,
    seeds: int,
    share: float,
    batch: int | None = None,
) -> list[Arm]:
    """Every recipe on every view (policy -> directory), `seeds` times; `share` of the people are held out of all.

    Raises RecipeError: an unknown recipe, two of one name, or recipes of more than one template.
    """
    arms = []
    for name in recipes:
        for policy, data in views.items():
            for seed in range(seeds):
                recipe = load_recipe(name, images=images, seed=seed, batch=batch, held_out=share)
                told = Path(name).stem if policy == AS_DECIDED else f"{Path(name).stem}, {policy}"
                arms.append(Arm(told, often_saved(recipe), data))
    if len({arm.slug for arm in arms}) < len(arms):
        raise RecipeError(f"two of the recipes {', '.join(recipes)} have one name: rename a file")
    templates = {arm.recipe.template: arm.name for arm in arms}
    if len(templates) > 1:
        raise RecipeError(f"arms of one ablation take crops of one template, these take {templates}: choose others")
    return arms


def often_saved(recipe: Recipe) -> Recipe:
    """The recipe with a checkpoint for every tenth of its images at least."""
    return replace(recipe, checkpoint_images=min(recipe.checkpoint_images, max(1, recipe.images // _CHECKPOINTS)))


def views_of(data: Path, policies: Sequence[str], out: Path) -> dict[str, Path]:
    """The dataset decided by each policy, by the policy's name, below `out`; itself where no policy is named."""
    loaded = {Path(name).stem: load_policy(name) for name in policies}
    if not loaded:
        return {AS_DECIDED: data}
    return {name: make_view(data, policy, out / name).path for name, policy in loaded.items()}


def ablate(request: Request, say: Callable[[str], None]) -> Finished:
    """Train and judge every arm that is not finished, and read those that are.

    An arm that diverges or runs out of GPU memory is told of, and the others go on; it is tried again by the next call.
    Raises as `fit.plan` and `fit.run`; DatasetError where too few people can be judged on.
    """
    for arm in request.arms:
        if not arm.data.is_relative_to(request.out):  # a view of ours
            check_apart(request.out, arm.data)
    with OutputLock(request.out):
        remove_partials(request.out)
        everybody, photos, note = judged_photos(request)
        dataset = Dataset.open(request.judged_on[0])
        # One arm for each embedder that there may be; a plan holds every photo's numbers, so none is kept.
        different = {(str(arm.data), arm.recipe.embedder): arm for arm in request.arms}
        embedders = [fit.plan(_fit_request(request, arm)).embedder for arm in different.values()]
        trained = {embedder.embedder_id for embedder in embedders}
        judge = judge_of(dataset, everybody, photos, trained, request.judge, request.device, request.out, say)
        setting = Setting.of(photos, request.arms[0].recipe.template, request.pairs, judge, request.device)
        say(f"judged on {note}")
        say(f"judge: {words_of(judge)}")
        timings = _timings(request, embedders[0].dim, say)
        finished = Finished([], [], {}, words_of(judge), note)
        for number, arm in enumerate(request.arms, 1):
            one = fit.plan(_fit_request(request, arm))
            key = _key(arm, one, setting)
            found = _read(request.out, arm, key)
            if found is None:
                say(f"arm {number} of {len(request.arms)}: {arm.name}, seed {arm.recipe.seed}")
                try:
                    found = _train(request, arm, one, setting, timings[_architecture(arm.recipe)], key, say)
                except (DivergedError, torch.OutOfMemoryError) as error:
                    finished.failed[arm.slug] = str(error).splitlines()[0]
                    say(f"{arm.slug} failed: {finished.failed[arm.slug]}")
                    torch.cuda.empty_cache()
                    continue
            else:
                say(f"arm {number} of {len(request.arms)}: {arm.name}, seed {arm.recipe.seed}: is finished")
            finished.results.append(found[0])
            finished.pairs.append(found[1])
    return finished


def judged_photos(request: Request) -> tuple[TrainingFaces, TrainingFaces, str]:
    """Photos that all of `judged_on` keep; those of them whose people are held out of every arm, and what to tell the
    reader of these."""
    template = request.arms[0].recipe.template
    photos = read_training_faces(Dataset.open(request.judged_on[0]), template)
    for path in request.judged_on[1:]:
        others = read_training_faces(Dataset.open(path), template).face_id
        rows = np.flatnonzero(np.isin(photos.face_id.astype(str), others.astype(str)))
        if not len(rows):
            raise DatasetError(f"{path}: no photo is kept by all policies, so there is nothing to judge on")
        photos = photos.take(rows)
    shares = [arm.recipe.held_out for arm in request.arms]
    judged, clean, note = held_out(photos, shares)
    if not clean:
        raise DatasetError(
            f"{request.judged_on[0]}: of {len(photos.people)} people whom all policies keep, fewer than two are held "
            f"out by a share of {min(shares):g}: raise --held-out, or leave out the strictest policy"
        )
    return photos, judged, note


def describe(request: Request) -> list[str]:
    """Lines that say what an ablation would train, with rough estimates of memory and time."""
    note = judged_photos(request)[2]
    rate = multiply_adds_per_second(request.device)
    lines = [f"{'arm':<34} {'photos':>9} {'people':>7} {'parameters':>12} {'G MACs':>7} {'GiB':>6} {'about':>9}"]
    hours = 0.0
    for arm in request.arms:
        planned = fit.plan(_fit_request(request, arm))
        recipe, held = arm.recipe, planned.photos.held_out(arm.recipe.held_out)
        people = len(np.unique(planned.photos.person[~held]))
        g, d = _complexities(recipe, planned.embedder.dim)
        seen = complexity.measure(planned.embedder.network, (1, 3, *planned.embedder.template.size))
        # A step and image: G forward twice and backward once (twice a forward), D nine times as much as one forward,
        # the embedder forward and back to its input.
        work = 4 * g.macs + 9 * d.macs + 2 * seen.macs
        part = recipe.batch // recipe.accumulate
        memory = g.training_bytes(part) + d.training_bytes(2 * part)
        hours += recipe.images * work / rate / 3600
        lines.append(
            f"{arm.slug:<34} {int((~held).sum()):>9,} {people:>7,} {g.parameters:>12,} {g.macs / 1e9:>7.2f} "
            f"{memory / 2**30:>6.1f} {_duration(recipe.images * work / rate):>9}"
        )
    lines += ["", f"judged on      {note}", f"in all         {len(request.arms)} trainings, about {hours:.1f} h"]
    return [*lines, "Times are rough: multiply-adds against what one convolution reaches on this device now."]


def _train(
    request: Request,
    arm: Arm,
    planned: fit.FitPlan,
    setting: Setting,
    timing: Timing,
    key: dict[str, Any],
    say: Callable[[str], None],
) -> tuple[Result, pa.Table]:
    if torch.device(request.device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(request.device)
    last = fit.run(planned, _Notes(say))
    dataset = planned.dataset
    candidate = Candidate.load(last, dataset, request.device, _embedder_choice(arm))
    latents = latents_of(Dataset.open(request.judged_on[0]), setting.photos, candidate, request.out, say)
    pairs = pa.concat_tables([score(candidate, setting, latents, kind) for kind in ("cross", "same")])
    held = planned.photos.held_out(arm.recipe.held_out)
    generator, _ = _complexities(arm.recipe, planned.embedder.dim)
    seconds, memory = _logged(planned.request.out / "log.jsonl")
    result = Result(
        name=arm.name,
        seed=arm.recipe.seed,
        key=key,
        images=int(candidate.trained.facts.images),
        photos=int((~held).sum()),
        people=len(np.unique(planned.photos.person[~held])),
        parameters=generator.parameters,
        macs=generator.macs,
        first_ms=timing.first,
        steady_ms=timing.steady,
        seconds=seconds,
        images_per_second=int(candidate.trained.facts.images) / seconds,
        memory_bytes=memory if torch.device(request.device).type == "cuda" else 0,
        checkpoint=str(last.relative_to(request.out)),
        metrics=summarise(pairs),
    )
    write_parquet(_pairs_path(request.out, arm), pairs)
    # Last: with it the arm is finished.
    with atomic(_result_path(request.out, arm)) as partial:
        partial.write_text(json.dumps(asdict(result), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return result, pairs


class _Notes:
    """A listener that passes its notes on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.note = say

    def start(self, step: str, total: int | None, unit: str = "photos") -> None: ...
    def advance(self, count: int = 1) -> None: ...
    def finish(self) -> None: ...


def _read(out: Path, arm: Arm, key: dict[str, Any]) -> tuple[Result, pa.Table] | None:
    """A finished arm that was made of the same; None where it has to be trained or judged."""
    path = _result_path(out, arm)
    if not path.exists():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    if told["key"] != key:
        return None
    import pyarrow.parquet as pq

    return Result(**told), pq.read_table(_pairs_path(out, arm))


def _key(arm: Arm, planned: fit.FitPlan, setting: Setting) -> dict[str, Any]:
    """Everything that an arm's numbers depend on."""
    return {
        "revision": REVISION,
        "recipe": arm.recipe.sha256(),
        "data": planned.photos.digest(),
        "embedder": planned.embedder.embedder_id,
        "judge": setting.judge.embedder.embedder_id,
        "judged": setting.photos.digest(),
        "pairs": len(setting.cross.targets),
    }


def _timings(request: Request, latent_dim: int, say: Callable[[str], None]) -> dict[str, Timing]:
    """Times of every architecture among the arms: those of a former call, or all taken now, side by side."""
    path = request.out / "timings.json"
    recipes = {_architecture(arm.recipe): arm.recipe for arm in request.arms}
    key = [request.device, latent_dim, sorted(recipes)]
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if told.get("key") != key:
        say(f"timing {len(recipes)} generators, each in processes of its own")
        found = time_fresh(list(recipes.values()), latent_dim, request.device)
        told = {"key": key, "times": {name: asdict(one) for name, one in zip(recipes, found, strict=True)}}
        with atomic(path) as partial:
            partial.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return {name: Timing(**one) for name, one in told["times"].items()}


def _architecture(recipe: Recipe) -> str:
    """What decides how fast a generator is, as text; where losses differ too, one network is timed twice."""
    loose = {"images", "seed", "held_out", "teacher", "embedder"}
    keys = json.loads(recipe.canonical_json())
    return json.dumps({name: value for name, value in keys.items() if name not in loose}, sort_keys=True)


def _complexities(recipe: Recipe, latent_dim: int) -> tuple[complexity.Complexity, complexity.Complexity]:
    shape = (1, 3, recipe.size, recipe.size)
    generator = complexity.measure(build_generator(recipe, latent_dim), shape, (1, latent_dim))
    return generator, complexity.measure(build_discriminator(recipe), shape)


def _fit_request(request: Request, arm: Arm) -> fit.FitRequest:
    return fit.FitRequest(
        data=arm.data,
        recipe=arm.recipe,
        out=request.out / "arms" / arm.slug,
        device=request.device,
        workers=request.workers,
    )


def _embedder_choice(arm: Arm) -> str | None:
    """Where the recipe says that its embedder is; None: the dataset says."""
    return None if arm.recipe.embedder in ("dataset", "auto") else arm.recipe.embedder


def _logged(path: Path) -> tuple[float, int]:
    """A run's log -> seconds that its steps took, and the most memory they held; without what a kill undid."""
    seconds, memory, before = 0.0, 0, 0
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        seconds += (row["images"] - before) / row["images_per_second"]
        memory, before = max(memory, row["memory_bytes"]), row["images"]
    return seconds, memory


def _result_path(out: Path, arm: Arm) -> Path:
    return out / "results" / f"{arm.slug}.json"


def _pairs_path(out: Path, arm: Arm) -> Path:
    return out / "pairs" / f"{arm.slug}.parquet"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
