"""What of a measurement is finished, what is missing, and what has changed at the source. Only reads.

`StatusRequest` -> `run` -> `Status`.
"""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from curate.counts import counted
from curate.listener import SILENT, Listener
from curate.measure.job import MeasureJob, Shard
from curate.measure.measure import MeasurePlan, plan
from curate.measure.part import array_expression
from curate.measure.request import recorded_request


@dataclass(frozen=True)
class StatusRequest:
    """Which dataset to compare with its source.

    Attributes:
        dataset: directory of a dataset that was planned or measured.
        planned: compare with the listing of `curate plan` instead of listing the source.
        verify: also hash the photos of finished shards, and compare every byte of their tables with its checksum.
        parts: number of parts of the next run, for the expression of those that are missing. None: one for each shard.
    """

    dataset: Path
    planned: bool = False
    verify: bool = False
    parts: int | None = None


@dataclass(frozen=True)
class Status:
    """The shards of a dataset by their state; every shard is in exactly one of the lists.

    Attributes:
        finished: nothing is left to do.
        missing: never measured, or not to the end.
        changed: measured, with photos that were added, changed or removed at the source since.
        outdated: measured with other settings, networks, or by another version.
        damaged: a table is damaged.
        not_embedded: measured; embeddings of the dataset's embedder are missing.
    """

    dataset: Path
    finished: list[Shard]
    missing: list[Shard]
    changed: list[Shard]
    outdated: list[Shard]
    damaged: list[Shard]
    not_embedded: list[Shard]
    buckets: int
    parts: int

    @property
    def unfinished(self) -> list[Shard]:
        """All shards but the finished ones, by number."""
        lists = (self.missing, self.changed, self.outdated, self.damaged, self.not_embedded)
        return sorted((shard for shards in lists for shard in shards), key=lambda shard: shard.bucket)

    @property
    def array(self) -> str:
        """The parts that have something left to do, as Slurm's `--array` takes them; empty where all is done."""
        return array_expression(sorted({shard.bucket % self.parts for shard in self.unfinished}))

    def lines(self) -> list[str]:
        """Describe the state, and the next step."""
        lines = [f"finished: {_extent(self.finished)}"]
        titles = {
            "missing": self.missing,
            "not embedded": self.not_embedded,
            "measured with other settings": self.outdated,
            "damaged": self.damaged,
        }
        lines += [f"{title}: {_extent(shards)}" for title, shards in titles.items() if shards]
        if self.changed:
            lines.append(f"changed at the source: {_extent(self.changed)}: {_changes(self.changed)}")
        todo = sum(shard.photos_to_measure for shard in self.unfinished)
        if not self.unfinished:
            return [*lines, "everything is measured"]
        place = shlex.quote(str(self.dataset))
        return [
            *lines,
            f"to do: {counted(todo, 'photo')}",
            f"on one machine: curate measure {place}",
            f"as a job array: sbatch --array={self.array}, each task: curate measure {place} "
            f'--part "$SLURM_ARRAY_TASK_ID/{self.parts}"',
        ]


def run(request: StatusRequest, listener: Listener = SILENT) -> Status:
    """Compare the shards of a dataset with its source.

    Raises DatasetError where there is no dataset, or a merged one, SourceError where the photos are not there.
    """
    measure = replace(recorded_request(request.dataset), verify=request.verify, workers=1, device="cpu")
    if not request.planned:
        measure = replace(measure, planned=False)
    return _status(request, plan(measure, listener))


def _status(request: StatusRequest, measure_plan: MeasurePlan) -> Status:
    lists: dict[str, list[Shard]] = {
        name: [] for name in ("finished", "missing", "changed", "outdated", "damaged", "not_embedded")
    }
    unfinished = {shard.bucket: shard for shard in measure_plan.todo}
    for shard in measure_plan.shards:
        todo = unfinished.get(shard.bucket)
        lists["finished" if todo is None else _state(todo, measure_plan.job)].append(todo or shard)
    buckets = len(measure_plan.shards)
    return Status(request.dataset, **lists, buckets=buckets, parts=request.parts or buckets)


def _state(shard: Shard, job: MeasureJob) -> str:
    if shard.damaged:
        return "damaged"
    if shard.counts is not None:
        return "changed"
    if not all(job.path(family, shard.bucket).exists() for family in ("faces", "measures")):
        return "missing"
    return "outdated" if not shard.measured else "not_embedded"


def _extent(shards: list[Shard]) -> str:
    return f"{counted(len(shards), 'shard')}, {counted(sum(shard.photos for shard in shards), 'photo')}"


def _changes(shards: list[Shard]) -> str:
    counts = [shard.counts for shard in shards if shard.counts]
    names = ("added", "changed", "removed")
    return ", ".join(f"{sum(getattr(count, name) for count in counts):,} {name}" for name in names)
