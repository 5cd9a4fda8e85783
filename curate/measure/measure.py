"""Measuring a source: `MeasureRequest` -> `plan` -> `MeasurePlan` -> `run`.

`plan` lists the source and compares it with the dataset in OUT, `run` measures the shards that are not finished.
`freeze` plans and keeps the listing in OUT for the parts of a measurement.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from curate.counts import counted
from curate.durations import format_duration
from curate.engines import Engine, open_engine
from curate.errors import SourceError
from curate.faces.models import check_device, check_remote_device, describe, identify, load_detector
from curate.listener import SILENT, Listener, progress
from curate.measure.aligned import is_aligned
from curate.measure.existing import check_apart, check_same_source, recorded
from curate.measure.findings import findings
from curate.measure.frozen import Lister, read_listing, write_listing
from curate.measure.job import ChangeCounts, MeasureJob, Shard, choose_buckets
from curate.measure.listing import FILE_NAME, open_frozen
from curate.measure.part import WHOLE, Part
from curate.measure.request import MeasureRequest, describe_dataset, resolve_settings
from curate.measure.shards import (
    altered_photos,
    count_photos,
    damage,
    entries_of,
    is_finished,
    is_measured,
    limited,
    list_shards,
    was_killed,
)
from curate.measure.stored import StoredShard
from curate.measure.worker import ShardWorker
from curate.sources import Source, open_source
from curate.sources.layouts.folder import resolve_identities
from curate.sources.layouts.listing import is_no_identity
from curate.sources.system_files import SYSTEM_KINDS
from curate.threads import usable_cores
from manifests.layout import DatasetInfo, ModelsRecord, write_info
from manifests.output import OutputLock, remove_results
from manifests.partials import remove_partials

_OPENING_THREADS = 16  # that open tables: an object store answers each request after tens of milliseconds
_REMOTE_THREADS = {"cpu": 1, "cuda": 2}
"""Threads of a worker on other machines, whose cores are unknown here, by kind of device."""
_REMOTE_GPUS = 0.25  # share of a GPU that such a worker takes: the host's work in one process feeds no more
_GPU_BYTES_OF_WORKER = 4 * 2**30  # context, networks, and the tables of a batch
_BUCKETS_OF_GPU_WORKER = 8
"""Least shards for each process on a GPU: in the seconds in which it loads its networks, another one measures hundreds
of photos."""


@dataclass(frozen=True)
class MeasurePlan:
    """A request resolved against the source and the dataset in OUT.

    Attributes:
        todo: the shards that `run` measures.
        workers: worker processes, 0 for as many as the engine has.
        ignored: extension, or kind of system file -> number of files that are left out.
        notes: lines of the source on how its tree was read.
        part: of which `shards` are all; None: of the whole dataset.
    """

    job: MeasureJob
    shards: list[Shard]
    todo: list[Shard]
    workers: int
    engine: str
    info: DatasetInfo
    ignored: dict[str, int]
    notes: tuple[str, ...] = ()
    part: Part | None = None

    @property
    def photos(self) -> int:
        """Photos of the source."""
        return sum(shard.photos for shard in self.shards)

    @property
    def photos_todo(self) -> int:
        """Photos to measure: those of the shards that are not finished, without those whose rows are taken over."""
        return sum(shard.photos_to_measure for shard in self.todo)

    def summary(self) -> list[str]:
        """Describe the plan in a few lines."""
        identities = sum(not is_no_identity(key) for shard in self.shards for key in shard.identities)
        done = self.photos - self.photos_todo
        measured = f", {done:,} of them measured before" if done else ""
        people = f"of {counted(identities, 'person')}" if identities else "without identities"
        part = f", part {self.part}" if self.part else ""
        lines = [f"{counted(self.photos, 'photo')} {people} in {counted(len(self.shards), 'shard')}{part}{measured}"]
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
        return f"measured {counted(self.photos, 'photo')} in {format_duration(self.seconds)} ({rate:.1f} photos/s)"


def plan(request: MeasureRequest, listener: Listener = SILENT) -> MeasurePlan:
    """List the source and find the shards that are not finished. Writes nothing.

    The listener receives notes on models, paths and the plan.

    Raises SourceError, ModelError, OutputError (OUT inside ROOT, or a dataset of another source in OUT) and
    DatasetError (OUT is a merged dataset, or its frozen listing cannot be used).
    """
    return _plan(request, listener, read_listing if request.planned else _list)


def freeze(request: MeasureRequest, listener: Listener = SILENT) -> MeasurePlan:
    """Plan a request, and write the listing of the source and the dataset's `dataset.json` into OUT.

    Raises the errors of `plan`, and BusyError where another run uses OUT.
    """
    check_apart(request.root, request.out)
    with OutputLock(request.out):
        measure_plan = _plan(replace(request, planned=False, part=None), listener, write_listing)
        write_info(request.out, measure_plan.info)
    return measure_plan


def _list(source: Source, request: MeasureRequest, job: MeasureJob, models: ModelsRecord) -> list[Shard]:
    return list(list_shards(source, limited(source, request.limit), job, models, request.part or WHOLE))


def _plan(request: MeasureRequest, listener: Listener, lister: Lister) -> MeasurePlan:
    check_apart(request.root, request.out)
    if request.planned:
        source = open_frozen(request.root, request.out / FILE_NAME)
    else:
        source = open_source(request.layout, request.root, request.identities)
    choice, remote = request.choose_models(), request.engine != "local"
    device = check_remote_device(request.device) if remote and request.device else check_device(request.device)
    listener.note(f"models: {describe(choice)}, on {device}")
    listener.note(f"from {request.root} to {request.out}")

    models = identify(choice)
    existing = recorded(request.out)
    if existing is not None:
        check_same_source(existing, request.out, request.layout, request.root, request.identities)
        buckets = existing.buckets
    else:
        buckets = request.buckets or choose_buckets(count_photos(source, request.limit))
    workers, threads = _share_cores(request.workers, device, buckets)
    if remote and request.workers is None:
        workers, threads = 0, _REMOTE_THREADS[device]  # as many workers as the engine has
    settings = resolve_settings(
        request,
        existing,
        lambda: is_aligned(
            source, limited(source, request.limit), lambda: load_detector(choice, "cpu" if remote else device)
        ),
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
        planned=request.planned,
    )
    shards = lister(source, request, job, models)
    if request.part is None and not any(shard.photos for shard in shards):
        raise SourceError(f"{request.root} holds no photos: give the folder that holds one folder per person")
    shards = _damaged_as_stale(shards, job, listener)
    with ThreadPoolExecutor(_OPENING_THREADS) as pool:
        finished = pool.map(lambda shard: not shard.stale and is_finished(shard, job), shards)
        todo = [_compared(shard, job, source) for shard, done in zip(shards, finished, strict=True) if not done]
    ignored = dict(sorted(source.ignored().items()))
    if existing is not None and (request.planned or request.part):
        info = existing  # a part lists its own files only
    else:
        info = describe_dataset(request, job, models, {} if request.part else ignored)
    measure_plan = MeasurePlan(
        job, shards, todo, workers, request.engine, info, ignored, tuple(source.notes()), request.part
    )
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
    unfinished = {shard.bucket for shard in measure_plan.todo}
    shards = [shard for shard in measure_plan.shards if shard.bucket not in unfinished]
    shards = _damaged_as_stale(shards, job, listener, whole=True)
    source = job.open_source()
    todo = list(measure_plan.todo)
    with progress(listener, "hashing", sum(shard.photos for shard in shards if not shard.stale)) as advance:
        for shard in shards:
            altered = frozenset[str]() if shard.stale else altered_photos(source, shard, job, advance)
            if shard.stale or altered:
                todo.append(_compared(replace(shard, stale=True, altered=altered), job, source))
    planned = {shard.bucket: shard for shard in (*measure_plan.shards, *todo)}
    return replace(
        measure_plan,
        shards=[planned[shard.bucket] for shard in measure_plan.shards],
        todo=sorted(todo, key=lambda shard: shard.bucket),
    )


def _damaged_as_stale(shards: list[Shard], job: MeasureJob, listener: Listener, *, whole: bool = False) -> list[Shard]:
    """Mark the shards with a damaged table, so that they are measured again, and say so."""
    marked = []
    with ThreadPoolExecutor(_OPENING_THREADS) as pool:
        errors = list(pool.map(partial(damage, job=job, whole=whole), shards))
    for shard, error in zip(shards, errors, strict=True):
        if error is not None:
            listener.note(
                f"{str(error).partition(':')[0]}: its {counted(shard.photos, 'photo', 'is', 'are')} measured again"
            )
            shard = replace(shard, stale=True, damaged=True)
        marked.append(shard)
    return marked


def _compared(shard: Shard, job: MeasureJob, source: Source) -> Shard:
    """Count the photos of an unfinished shard by how they differ from those that it was measured with."""
    if not shard.stale and is_measured(shard, job):
        return replace(shard, measured=True)
    stored = StoredShard.open(shard, job)
    if stored is None:
        return shard
    changes = stored.compare(list(entries_of(source, shard.identities)), shard.altered)
    names = (changes.added, changes.changed, changes.removed, changes.unchanged)
    return replace(shard, counts=ChangeCounts(*map(len, names)))


def run(measure_plan: MeasurePlan, listener: Listener = SILENT, engine: Engine | None = None) -> MeasureResult:
    """Measure the shards of the plan that are not finished, on the plan's engine or on `engine`.

    Killed at any moment, it continues with the unfinished shards when the request is planned and run again.
    Raises BusyError where another run uses OUT, OutputError where OUT cannot be written, and the engine's errors.
    """
    job = measure_plan.job
    gpus = _REMOTE_GPUS if job.device == "cuda" else 0  # "cuda:N" is one GPU for all workers
    engine = engine or open_engine(measure_plan.engine, measure_plan.workers, job.threads, gpus)
    todo = [replace(shard, isolated=was_killed(shard, job)) for shard in measure_plan.todo]
    with OutputLock(job.out, shared=measure_plan.part is not None):
        began = time.monotonic()
        if not (job.planned or measure_plan.part):
            remove_results(job.out / FILE_NAME)  # a frozen listing is older than this one
        if recorded(job.out) != measure_plan.info:
            write_info(job.out, measure_plan.info)
        try:
            with progress(listener, "measuring", measure_plan.photos_todo) as advance:
                engine.run(todo, partial(ShardWorker.open, job), advance, _isolated)
        finally:
            # Terminated workers leave the partial files of their last write.
            remove_partials(job.out)
    for line in findings(job.path("measures", shard.bucket) for shard in measure_plan.shards):
        listener.note(line)
    return MeasureResult(measure_plan.photos_todo, time.monotonic() - began)


def _isolated(shard: Shard) -> Shard:
    """The task instead of one that killed its worker, perhaps by one of its photos."""
    return replace(shard, isolated=True)


def _share_cores(requested: int | None, device: str, buckets: int) -> tuple[int, int]:
    """Return the number of worker processes and of threads in each.

    Depends on the dataset and the machine only, not on the number of unfinished shards: results may differ in the last
    bits with another number of threads, and a resumed run must give the same bytes.
    """
    cores = usable_cores()
    default = min(cores, buckets)
    if device.startswith("cuda"):
        default = min(_workers_of_gpus(device, cores), buckets // _BUCKETS_OF_GPU_WORKER)
    workers = max(1, min(requested or default, buckets))
    return workers, max(1, cores // workers)


def _workers_of_gpus(device: str, cores: int) -> int:
    """Worker processes that share the GPUs of a device: as many as their memory holds, one for each core at most.

    The host takes most of a photo's time, in one thread of each process.
    """
    import torch

    gpus = [torch.device(device).index or 0] if ":" in device else range(torch.cuda.device_count())
    memory = sum(torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus)
    return min(cores, int(memory / _GPU_BYTES_OF_WORKER))
