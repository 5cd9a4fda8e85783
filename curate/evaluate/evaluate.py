"""Precision and recall of the verdicts on a clean folder, in which known faults are planted.

`EvaluateRequest` -> `plan` -> `EvaluatePlan` -> `run` -> `Evaluation`. The folder is measured once, as are the blurred
versions and copies of its photos (`planted_files`); each draw (`planting`) is then related and decided in memory
(`verdicts`) and compared with what was planted (`outcome`). Another rate, seed or policy takes seconds. Planted photos
are always detected, also where the source has landmarks.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.decide.rules import Policy
from curate.errors import SourceError
from curate.evaluate.collection import MeasuredCollection, read_collection
from curate.evaluate.degradations import EYE_DISTANCE
from curate.evaluate.outcome import SCHEMA, DecidedDraw, tabulate
from curate.evaluate.planted_files import SMALL_EYES, PlantedFile, write_planted_files
from curate.evaluate.planting import (
    BLURS,
    COPIES,
    DEFAULT_FAULTS,
    FAULTS,
    HARMLESS,
    MAX_SHARE,
    SAME_BYTES,
    SMALL_PROFILE,
    Flags,
    PlantedVersions,
    plant,
    untouched,
)
from curate.evaluate.verdicts import DrawDecider
from curate.listener import SILENT, Listener, progress
from curate.measure import measure
from curate.measure.existing import check_apart
from curate.measure.measure import MeasurePlan
from curate.measure.request import MeasureRequest
from curate.measure.settings import ALIGNED
from curate.measure.sharpness import BlurCalibration
from curate.relate.relate import default_settings
from curate.sources import open_source
from manifests.landmarks import TEMPLATES
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.writer import write_table

EVALUATION = "evaluation.parquet"

PROFILE_YAW = 30.0
"""Degrees from which a head counts as turned."""

VERSIONS_PER_FAULT = 2
"""Blurred versions and copies are created of this multiple of the photos that one draw needs, so that seeds differ."""

MIN_SCALE = 0.5
"""Photo pixels per pixel of the 256 px face scale; smaller faces are not blurred, having no detail to lose."""


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What to evaluate.

    Attributes:
        measure: Source and models; its `out` is the folder of the evaluation, which keeps the measured photos
            (`untouched`, `planted`) for the next evaluation and the result. The source is only read.
        rates: Shares of the photos with a face that get each fault.
        seeds: Number of draws at each rate.
        faults: Some of `planting.FAULTS`.
        policy: Thresholds of the verdicts.
        calibration: Scores sharpness again; None keeps the measured scores.

    Raises ValueError for an unknown fault, or a rate that no draw can have.
    """

    measure: MeasureRequest
    rates: tuple[float, ...] = (0.01, 0.05, 0.2)
    seeds: int = 5
    faults: tuple[str, ...] = DEFAULT_FAULTS
    policy: Policy = field(default_factory=Policy)
    calibration: BlurCalibration | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.faults if name not in FAULTS]
        if unknown or not self.faults:
            raise ValueError(f"unknown fault {', '.join(unknown) or ''!r}; choose from {', '.join(FAULTS)}")
        planted = [name for name in self.faults if name != "mixed_folders"]  # whose photos get no other fault
        max_rate = MAX_SHARE / max(1, len(planted))
        for rate in self.rates:
            if not 0 < rate <= max_rate:
                raise ValueError(
                    f"rate {rate:g} is out of range: a photo gets at most one of {len(planted)} faults, so give "
                    f"rates above 0 and up to {float(max_rate):g}, or fewer faults"
                )


@dataclass(frozen=True)
class EvaluatePlan:
    """A request whose source is listed; `untouched`: what is left to measure of it."""

    request: EvaluateRequest
    untouched: MeasurePlan


@dataclass(frozen=True)
class Evaluation:
    """The table of a finished evaluation (`outcome.SCHEMA`; rate 0 is the untouched folder), and its file."""

    table: pa.Table
    path: Path


def plan(request: EvaluateRequest, listener: Listener = SILENT) -> EvaluatePlan:
    """List the source and find the shards that are not measured. Writes nothing.

    Raises OutputError where OUT is inside ROOT, and as `curate.measure.plan`.
    """
    check_apart(request.measure.root, request.measure.out)
    source = replace(request.measure, out=request.measure.out / "untouched")
    # The planted photos are measured with the models of the untouched ones, also if others are installed meanwhile.
    source = source.with_models(source.choose_models())
    request = replace(request, measure=replace(source, out=request.measure.out))
    return EvaluatePlan(request, measure.plan(source, listener))


def run(evaluate_plan: EvaluatePlan, listener: Listener = SILENT) -> Evaluation:
    """Measure, plant, decide and write `evaluation.parquet`.

    Raises SourceError where no photo shows a face, BusyError where another run uses OUT, and as `curate.measure.run`.
    """
    request = evaluate_plan.request
    out = request.measure.out
    with OutputLock(out):
        measure.run(evaluate_plan.untouched, listener)
        dataset = Dataset.open(evaluate_plan.untouched.job.out)
        collection = read_collection(dataset)
        if not collection.usable.any():
            raise SourceError(
                f"{request.measure.root}: no photo shows a face, so nothing can be planted; give another --root"
            )
        collection, versions = _with_versions(collection, request, listener)
        decide = DrawDecider(collection, default_settings(dataset), request.policy, request.calibration)
        table = tabulate(_outcomes(collection, versions, decide, request, listener))
        write_table(out / EVALUATION, table, SCHEMA, {"swapset.policy": request.policy.canonical_json()})
    return Evaluation(table, out / EVALUATION)


def _outcomes(
    collection: MeasuredCollection,
    versions: PlantedVersions,
    decide: DrawDecider,
    request: EvaluateRequest,
    listener: Listener,
) -> list[DecidedDraw]:
    """Decide the untouched collection, and every draw of each rate and seed."""
    photos = slice(0, collection.untouched)
    identity, usable = collection.identity[photos], collection.usable[photos]
    draw = untouched(identity)
    outcomes = [DecidedDraw(0.0, 0, draw, decide(draw))]
    draws = [(rate, seed) for rate in request.rates for seed in range(request.seeds)]
    with progress(listener, "evaluating", len(draws) * len(identity)) as advance:
        for rate, seed in draws:
            draw = plant(identity, usable, versions, request.faults, rate, seed)
            outcomes.append(DecidedDraw(rate, seed, draw, decide(draw)))
            advance(len(identity))
    return outcomes


def _planted_files(collection: MeasuredCollection, request: EvaluateRequest) -> list[dict[int, PlantedFile]]:
    """Photo -> its blurred version, its copy, its harmless one, for random photos: the same in every run."""
    upscale = np.asarray(collection.measures["upscale"].to_numpy(), np.float64)[collection.start[:-1]]
    scale = TEMPLATES[collection.template].eye_distance / upscale / EYE_DISTANCE
    max_count = int(np.ceil(VERSIONS_PER_FAULT * max(request.rates, default=0) * collection.untouched))

    def choose(suitable: Flags, kinds: tuple[str, ...], seed: int) -> dict[int, PlantedFile]:
        photos = np.random.default_rng(seed).permutation(np.flatnonzero(suitable))[:max_count].tolist()
        return {
            photo: PlantedFile(
                identity=str(collection.identity[photo]),
                image_id=str(collection.image_id[photo]),
                sha256=collection.measures["sha256"][int(collection.start[photo])].as_py(),
                kind=kinds[nth % len(kinds)],
                scale=float(scale[photo]),
            )
            for nth, photo in enumerate(photos)
        }

    large_enough = np.nan_to_num(scale) >= MIN_SCALE
    yaw = np.abs(np.asarray(collection.measures["yaw"].to_numpy(), np.float64)[collection.start[:-1]])
    profile = (yaw >= PROFILE_YAW) & (np.nan_to_num(scale) * EYE_DISTANCE > SMALL_EYES)
    harmless = collection.usable & ("harmless" in request.faults)
    others = tuple(kind for kind in HARMLESS if kind != SMALL_PROFILE)
    return [
        choose(collection.usable & large_enough & ("blurred" in request.faults), BLURS, 1),
        choose(collection.usable & ("duplicates" in request.faults), COPIES, 2),
        # Few heads are turned: each of them is a small profile.
        choose(harmless & ~profile, others, 3) | choose(harmless & profile, (SMALL_PROFILE,), 4),
    ]


def _with_versions(
    collection: MeasuredCollection, request: EvaluateRequest, listener: Listener
) -> tuple[MeasuredCollection, PlantedVersions]:
    """Add all versions and copies, measured, to the collection; return it and the versions of each photo."""
    planted_files = _planted_files(collection, request)
    versions = PlantedVersions.none(collection.untouched)
    files = [file for chosen in planted_files for file in chosen.values() if file.kind != SAME_BYTES]
    position: dict[str, int] = {}
    if files:
        settings = collection.datasets[0].info.settings
        source = replace(request.measure, template=ALIGNED if settings.aligned else settings.template)
        planted = _measure_files(files, source, listener)
        position = {name: collection.untouched + at for at, name in enumerate(planted.image_id.tolist())}
        collection = collection.with_planted(planted, {file.name: f"{file.image_id} ({file.kind})" for file in files})
    version_of = ((versions.blurred, versions.blur), (versions.copy, versions.copy_kind))
    for files_of, (photo, kind) in zip(
        planted_files, (*version_of, (versions.harmless, versions.harmless_kind)), strict=True
    ):
        for original, file in files_of.items():
            photo[original] = original if file.kind == SAME_BYTES else position.get(file.name, -1)
            kind[original] = file.kind
    return collection, versions


def _measure_files(files: list[PlantedFile], source: MeasureRequest, listener: Listener) -> MeasuredCollection:
    """Write the planted files that are missing, and measure them with the models and template of the source."""
    folder = source.out / "planted"
    with progress(listener, "planting", len(files)) as advance:
        photos = open_source(source.layout, source.root, source.identities)
        write_planted_files(photos, files, folder / "photos", advance)
    request = replace(
        source, layout="folder", root=folder / "photos", out=folder / "measured", limit=None, identities="first"
    )
    measure.run(measure.plan(request), listener)
    return read_collection(Dataset.open(request.out))
