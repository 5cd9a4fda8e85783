"""Measuring a source: `MeasureRequest` -> `plan` -> `MeasurePlan` -> `run`.

`plan` lists the source and compares it with the dataset in OUT, `run` measures the shards that are not finished.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from curate.durations import format_duration
from curate.engines import ENGINES, Engine, open_engine
from curate.errors import SourceError
from curate.faces.models import check_device, describe, identify, load_detector, resolve
from curate.listener import SILENT, Listener, progress
from curate.measure.aligned import TEMPLATE as ALIGNED_TEMPLATE
from curate.measure.aligned import is_aligned
from curate.measure.existing import check_apart, check_same_source, recorded
from curate.measure.findings import findings
from curate.measure.settings import ALIGNED, CROP_TEMPLATES, REVISION, MeasureSettings
from curate.measure.shards import (
    MeasureJob,
    Shard,
    choose_buckets,
    damage,
    has_changed,
    is_finished,
    list_shards,
    was_killed,
)
from curate.sources import Source, open_source
from curate.sources.layouts import LAYOUTS
from curate.sources.layouts.folder import resolve_identities
from curate.sources.layouts.listing import is_no_identity
from curate.sources.system_files import SYSTEM_KINDS
from manifests.layout import (
    ChoiceRecord,
    DatasetInfo,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    write_info,
)
from manifests.output import OutputLock, remove_partials


@dataclass(frozen=True, kw_only=True)
class MeasureRequest:
    """What to measure, with which models, and where the dataset goes.

    Attributes:
        layout: Directory layout of the source, a name of `curate.sources.layouts.LAYOUTS`.
        root: The photos: a directory or an archive (see `curate.sources.stores.STORES`). Only read.
        identities: Where the layout "folder" takes identities from: "first", "parent", "none" or a file of photos and
            identities (see `curate.sources.layouts.folder.Folder`). None: detected.
        out: The dataset's directory; a dataset of the same source is continued.
        models: "auto", "builtin" or an insightface pack. None: the models with which OUT was created, "auto" for a
            new dataset.
        embedder: Checkpoint of a face embedder that replaces the one of `models`.
        detection: Mode of the built-in detector, "coarse" or "full".
        template: Alignment of the crops, one of CROP_TEMPLATES, or ALIGNED for photos that are crops of arcface-112
            already. None: that of the dataset in OUT; of a new dataset, ALIGNED where a sample of the photos is, else
            simswap-224.
        max_pixels: Photos with more pixels are not decoded.
        device: "cpu", "cuda" or "cuda:N". None: "cuda" where available.
        workers: Worker processes. None: one per core, or one on a GPU.
        limit: Measure whole identities until about this many photos are reached. None: all.
        buckets: Number of shards of a new dataset. None: by the number of photos.
        verify: Hash the photos of finished shards, compare the tables with their checksums, and measure those shards
            again in which a table is damaged, or a photo has changed although its size and modification time are the
            same.
        engine: A name of `curate.engines.ENGINES`.

    Raises ValueError for an unknown layout, template or engine.
    """

    layout: str
    root: Path
    out: Path
    models: str | None = None
    embedder: Path | None = None
    detection: str = "coarse"
    template: str | None = None
    max_pixels: int = 50_000_000
    device: str | None = None
    workers: int | None = None
    limit: int | None = None
    buckets: int | None = None
    verify: bool = False
    engine: str = "local"
    identities: str | None = None

    def __post_init__(self) -> None:
        templates = (*CROP_TEMPLATES, ALIGNED, None)
        for name, allowed in (("layout", LAYOUTS), ("template", templates), ("engine", ENGINES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose {', '.join(filter(None, allowed))}")

    def choose_models(self) -> ChoiceRecord:
        """Resolve `models`, `embedder` and `detection`. Raises ModelError."""
        existing = recorded(self.out) if self.models is None and self.embedder is None else None
        choice = existing.models.choice if existing else None
        return choice or resolve(self.models or "auto", self.embedder, self.detection)

    def with_models(self, choice: ChoiceRecord) -> "MeasureRequest":
        """Copy the request with `models`, `embedder` and `detection` set to a resolved choice."""
        embedder = Path(choice.embedder) if choice.embedder else None
        return replace(self, models=choice.pack, embedder=embedder, detection=choice.detection)


@dataclass(frozen=True)
class MeasurePlan:
    """A request resolved against the source and the dataset in OUT.

    `todo`: the shards that `run` measures. `workers`: worker processes. `ignored`: extension, or kind of system file ->
    number of files that are left out. `notes`: lines of the source on how its tree was read.
    """

    job: MeasureJob
    shards: list[Shard]
    todo: list[Shard]
    workers: int
    engine: str
    info: DatasetInfo
    ignored: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def photos(self) -> int:
        """Photos of the source."""
        return sum(shard.photos for shard in self.shards)

    @property
    def photos_todo(self) -> int:
        """Photos in shards that are not finished."""
        return sum(shard.photos for shard in self.todo)

    def summary(self) -> list[str]:
        """Describe the plan in a few lines."""
        identities = sum(not is_no_identity(key) for shard in self.shards for key in shard.identities)
        done = self.photos - self.photos_todo
        measured = f", {done:,} of them measured before" if done else ""
        people = f"of {identities:,} people" if identities else "without identities"
        lines = [f"{self.photos:,} photos {people} in {len(self.shards):,} shards{measured}"]
        for title, system in (("ignored, not photos", False), ("skipped system files", True)):
            counts = {kind: count for kind, count in sorted(self.ignored.items()) if (kind in SYSTEM_KINDS) is system}
            if counts:
                listed = (f"{count:,} {kind or 'without extension'}" for kind, count in counts.items())
                lines.append(f"{title}: {', '.join(listed)}")
        return lines + list(self.notes)


@dataclass(frozen=True)
class MeasureResult:
    """Photos that `run` measured and the seconds that it took."""

    photos: int
    seconds: float

    def summary(self) -> str:
        """Describe the result in one line."""
        rate = self.photos / self.seconds
        return f"measured {self.photos:,} photos in {format_duration(self.seconds)} ({rate:.1f} photos/s)"


def plan(request: MeasureRequest, listener: Listener = SILENT) -> MeasurePlan:
    """List the source and find the shards that are not finished. Writes nothing.

    The listener receives notes on models, paths and the plan.

    Raises SourceError, ModelError, OutputError (OUT inside ROOT, or a dataset of another source in OUT) and
    DatasetError (OUT is a merged dataset).
    """
    check_apart(request.root, request.out)
    source = open_source(request.layout, request.root, request.identities)
    choice, device = request.choose_models(), check_device(request.device)
    listener.note(f"models: {describe(choice)}, on {device}")
    listener.note(f"from {request.root} to {request.out}")

    identities = _limited(source, request.limit)
    models = identify(choice)
    existing = recorded(request.out)
    if existing is not None:
        check_same_source(existing, request.out, request.layout, request.root, request.identities)
        buckets = existing.buckets
    else:
        buckets = request.buckets or choose_buckets(sum(len(source.entries(identity)) for identity in identities))
    workers, threads = _share_cores(request.workers, device, buckets)
    settings = _settings(
        request, existing, lambda: is_aligned(source, identities, lambda: load_detector(choice, device))
    )
    if settings.aligned and (existing is None or not existing.settings.aligned):
        listener.note(
            "the photos are 112 px crops aligned to arcface-112: stored as they are, without resampling; "
            "--template simswap-224 with another --out aligns them anew"
        )
    job = MeasureJob(
        layout=request.layout,
        root=request.root,
        identities=resolve_identities(request.identities),
        out=request.out,
        buckets=buckets,
        choice=choice,
        settings=settings,
        device=device,
        threads=threads,
        embedder_id=models.embedder.embedder_id,
    )
    shards = list_shards(source, identities, job, models)
    if not any(shard.photos for shard in shards):
        raise SourceError(f"{request.root} holds no photos: give the folder that holds one folder per person")
    shards = _damaged_as_stale(shards, job, listener)
    todo = [shard for shard in shards if shard.stale or not is_finished(shard, job)]
    ignored = dict(sorted(source.ignored().items()))
    info = _describe(request, job, models, ignored)
    measure_plan = MeasurePlan(job, shards, todo, workers, request.engine, info, ignored, tuple(source.notes()))
    if request.verify:
        measure_plan = verify(measure_plan, listener)
    for line in measure_plan.summary():
        listener.note(line)
    return measure_plan


def verify(measure_plan: MeasurePlan, listener: Listener = SILENT) -> MeasurePlan:
    """Hash the photos of the finished shards and compare their tables with the checksums.

    Returns a plan that also measures the shards in which a photo has changed (also where it kept size and modification
    time), or in which a table is damaged. Writes nothing.
    """
    job = measure_plan.job
    todo = {shard.bucket for shard in measure_plan.todo}
    shards = [shard for shard in measure_plan.shards if shard.bucket not in todo]
    shards = _damaged_as_stale(shards, job, listener, whole=True)
    finished = [shard for shard in shards if not shard.stale]
    todo |= {shard.bucket for shard in shards if shard.stale}
    source = job.open_source()
    with progress(listener, "hashing", sum(shard.photos for shard in finished)) as advance:
        changed = {shard.bucket for shard in finished if has_changed(source, shard, job, advance)}
    changed |= {shard.bucket for shard in (*shards, *measure_plan.shards) if shard.stale}
    shards = [replace(shard, stale=shard.bucket in changed) for shard in measure_plan.shards]
    return replace(measure_plan, shards=shards, todo=[shard for shard in shards if shard.bucket in todo | changed])


def _damaged_as_stale(shards: list[Shard], job: MeasureJob, listener: Listener, *, whole: bool = False) -> list[Shard]:
    """Mark the shards with a damaged table as stale, so that they are measured again, and say so."""
    marked = []
    for shard in shards:
        damaged = damage(shard, job, whole=whole)
        if damaged is not None:
            listener.note(f"{str(damaged).partition(':')[0]}: its {shard.photos:,} photos are measured again")
        marked.append(replace(shard, stale=shard.stale or damaged is not None))
    return marked


def run(measure_plan: MeasurePlan, listener: Listener = SILENT, engine: Engine | None = None) -> MeasureResult:
    """Measure the shards of the plan that are not finished, on the plan's engine or on `engine`.

    Killed at any moment, it continues with the unfinished shards when the request is planned and run again.
    Raises BusyError where another run uses OUT, OutputError where OUT cannot be written, and the engine's errors.
    """
    job = measure_plan.job
    engine = engine or open_engine(measure_plan.engine, measure_plan.workers, job.threads)
    todo = [replace(shard, isolated=was_killed(shard, job)) for shard in measure_plan.todo]
    with OutputLock(job.out):
        began = time.monotonic()
        write_info(job.out, measure_plan.info)
        try:
            with progress(listener, "measuring", measure_plan.photos_todo) as advance:
                engine.run(todo, job.setup, advance, _isolated)
        finally:
            # Terminated workers leave the partial files of their last write.
            remove_partials(job.out)
    for line in findings(job.path("measures", shard.bucket) for shard in measure_plan.shards):
        listener.note(line)
    return MeasureResult(measure_plan.photos_todo, time.monotonic() - began)


def _isolated(shard: Shard) -> Shard:
    """The task instead of one that killed its worker, perhaps by one of its photos."""
    return replace(shard, isolated=True)


def _limited(source: Source, limit: int | None) -> list[str]:
    """List the source's identities, the first ones that have `limit` photos together where a limit is given."""
    identities = source.identities()
    if limit is None:
        return identities
    limited, photos = [], 0
    for identity in identities:
        if photos >= limit:
            break
        limited.append(identity)
        photos += len(source.entries(identity))
    return limited


def _settings(
    request: MeasureRequest, existing: DatasetInfo | None, sample_is_aligned: Callable[[], bool]
) -> MeasureSettings:
    """Resolve the template of a request. `existing`: the dataset in OUT."""
    template, aligned = request.template, request.template == ALIGNED
    if template is None and existing is not None:
        template, aligned = existing.template, existing.settings.aligned
    elif template is None:
        aligned = sample_is_aligned()
    if template in (None, ALIGNED):
        template = ALIGNED_TEMPLATE.name if aligned else CROP_TEMPLATES[0]
    return MeasureSettings(template, request.max_pixels, aligned)


def _describe(request: MeasureRequest, job: MeasureJob, models: ModelsRecord, ignored: dict[str, int]) -> DatasetInfo:
    return DatasetInfo(
        source=SourceRecord(
            request.layout, str(request.root.resolve()), request.limit, ignored=ignored, identities=job.identities
        ),
        settings=SettingsRecord(job.settings.template, job.settings.max_pixels, REVISION, job.settings.aligned),
        models=models,
        buckets=job.buckets,
    )


def _share_cores(requested: int | None, device: str, buckets: int) -> tuple[int, int]:
    """Return the number of worker processes and of threads in each.

    Depends on the dataset and the machine only, not on the number of unfinished shards: results may differ in the last
    bits with another number of threads, and a resumed run must give the same bytes.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    default = 1 if device.startswith("cuda") else min(cores, buckets)
    workers = max(1, min(requested or default, buckets))
    return workers, max(1, cores // workers)
