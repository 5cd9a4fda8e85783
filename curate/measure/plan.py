"""A source cleaned from end to end: measure, relate, decide. What each step needs, and what it leaves.

Nothing here prints: progress is reported to a `Listener`.
"""

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from curate.engines.local import LocalEngine
from curate.errors import DatasetError, OutputError, SourceError
from curate.faces.models import Choice, identify
from curate.listener import SILENT, Listener, progress
from curate.measure.settings import REVISION, MeasureSettings
from curate.measure.shards import Job, Shard, choose_buckets, has_changed, is_finished, plan
from curate.sources import Source, open_source
from manifests.layout import (
    INFO,
    ChoiceRecord,
    DatasetInfo,
    EmbedderRecord,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    read_info,
    write_info,
)
from manifests.output import remove_partials


@dataclass(frozen=True)
class Request:
    """What the user asked `curate measure` or `curate clean` to do.

    limit: only so many photos, whole persons at a time until it is reached. buckets: shards of a new dataset.
    """

    kind: str
    root: Path
    out: Path
    choice: Choice
    settings: MeasureSettings = field(default_factory=MeasureSettings)
    device: str = "cpu"
    workers: int | None = None
    limit: int | None = None
    buckets: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a request comes to: the job, its shards, and which of them are left to do."""

    job: Job
    shards: list[Shard]
    todo: list[Shard]
    workers: int
    info: DatasetInfo
    ignored: dict[str, int]

    @property
    def photos(self) -> int:
        return sum(shard.photos for shard in self.shards)

    @property
    def photos_todo(self) -> int:
        return sum(shard.photos for shard in self.todo)


def make_plan(request: Request) -> Plan:
    """Lists the source, compares it with what OUT holds. Writes nothing.

    Raises SourceError, OutputError (OUT inside ROOT, or holding another source), ModelError.
    """
    check_apart(request.root, request.out)
    source = open_source(request.kind, request.root)
    identities = _within(source, request.limit)
    networks = identify(request.choice)
    existing = read_info(request.out) if (request.out / INFO).exists() else None
    if existing is not None:
        _check_same_source(existing, request)
        buckets = existing.buckets
    else:
        photos = sum(len(source.entries(identity)) for identity in identities)
        buckets = request.buckets or choose_buckets(photos)
    workers, threads = _share_cores(request, buckets)
    job = Job(
        request.kind, request.root, request.out, buckets, request.choice, request.settings, request.device, threads,
        networks["embedder_id"],
    )  # fmt: skip
    shards = plan(source, identities, job, networks)
    if not sum(shard.photos for shard in shards):
        raise SourceError(f"{request.root} holds no photos: give the folder that holds one folder for each person")
    todo = [shard for shard in shards if not is_finished(shard, job)]
    return Plan(job, shards, todo, workers, _describe(request, buckets, networks), source.ignored())


def verify_photos(planned: Plan, listener: Listener = SILENT) -> Plan:
    """Hashes the photos of finished shards; those in which one is not what was measured are to be done again.

    For photos that changed and kept their size and modification time. Writes nothing.
    """
    job = planned.job
    todo = {shard.bucket for shard in planned.todo}
    finished = [shard for shard in planned.shards if shard.bucket not in todo]
    source = open_source(job.kind, job.root)
    with progress(listener, "hashing", sum(shard.photos for shard in finished)) as advance:
        changed = {shard.bucket for shard in finished if has_changed(source, shard, job, advance)}
    shards = [replace(shard, stale=shard.bucket in changed) for shard in planned.shards]
    return replace(planned, shards=shards, todo=[shard for shard in shards if shard.bucket in todo | changed])


def measure(planned: Plan, listener: Listener = SILENT) -> None:
    """Measures every shard of the plan that is not finished. Hold the output's lock."""
    remove_partials(planned.job.out)
    write_info(planned.job.out, planned.info)
    engine: LocalEngine[Shard] = LocalEngine(planned.workers, planned.job.threads)
    try:
        with progress(listener, "measuring", planned.photos_todo) as advance:
            engine.run(planned.todo, planned.job.setup, advance)
    finally:
        # A worker that was stopped in mid-write could not tidy up after itself.
        remove_partials(planned.job.out)


def check_apart(root: Path, out: Path) -> None:
    """Raises OutputError where OUT is ROOT, or one lies inside the other: a source is never written to."""
    source, target = root.resolve(), out.resolve()
    if target == source or source in target.parents:
        raise OutputError(
            f"--out {out} lies inside --root {root}: the source is never written to; choose another --out"
        )


def pinned_choice(out: Path) -> Choice | None:
    """The models that an existing dataset was measured with; `--models auto` keeps to them. None for a new dataset."""
    if not (out / INFO).exists():
        return None
    record = read_info(out).models.choice
    return None if record is None else Choice(**asdict(record))


def _within(source: Source, limit: int | None) -> list[str]:
    identities = list(source.identities())
    if limit is None:
        return identities
    taken, photos = [], 0
    for identity in identities:
        if photos >= limit:
            break
        taken.append(identity)
        photos += len(source.entries(identity))
    return taken


def _check_same_source(info: DatasetInfo, request: Request) -> None:
    kind, root = info.source.kind, str(info.source.root)
    if info.parts:
        raise DatasetError(f"{request.out} is a merged dataset: measure its parts, then merge them again")
    moved = root != str(request.root.resolve()) and Path(root).exists()
    if kind != request.kind or moved:
        raise OutputError(f"{request.out} holds {kind} {root}, not {request.kind} {request.root}: choose another --out")


def _describe(request: Request, buckets: int, networks: dict[str, str]) -> DatasetInfo:
    return DatasetInfo(
        source=SourceRecord(request.kind, str(request.root.resolve()), request.limit),
        settings=SettingsRecord(request.settings.template, request.settings.max_pixels, REVISION),
        models=ModelsRecord(
            EmbedderRecord(networks["embedder_id"], networks["embedder"]),
            detector=networks["detector"],
            segmenter=networks["segmenter"],
            choice=ChoiceRecord(**asdict(request.choice)),
        ),
        buckets=buckets,
    )


def _share_cores(request: Request, buckets: int) -> tuple[int, int]:
    """-> (worker processes, threads in each). Depends on the dataset and the machine only, never on what is left to do:
    another number of threads rounds differently, and a resumed run must give the same bytes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    default = 1 if request.device.startswith("cuda") else min(cores, buckets)
    workers = max(1, min(request.workers or default, buckets))
    return workers, max(1, cores // workers)
