"""What a run would take: a few of its photos are measured, in memory, and the rest is arithmetic."""

import time
from dataclasses import dataclass
from itertools import islice

from curate.faces.models import load
from curate.measure.pipeline import Pipeline
from curate.measure.plan import Plan
from curate.measure.shards import entries_of
from curate.sources import Entry, open_source

SAMPLE = 32
_ROW_BYTES = 420
"""Measured: a face's row in measures, relations and manifest together, compressed."""


@dataclass(frozen=True)
class Estimate:
    """Photos left to measure, how many a second, and what they will occupy on disk."""

    photos: int
    seconds: float
    bytes: int
    sampled: int

    def words(self) -> str:
        """The estimate in one line."""
        if not self.photos:
            return "dry run: nothing is left to measure"
        return (
            f"dry run: {self.photos:,} photos to measure, about {duration(self.seconds)} "
            f"({self.photos / self.seconds:.1f} a second) and {self.bytes / 1e6:,.0f} MB on disk, "
            f"from {self.sampled} photos tried; nothing was written"
        )


def estimate(planned: Plan) -> Estimate:
    """Measures up to SAMPLE photos of the plan, spread over its shards, and scales up. Writes nothing."""
    job = planned.job
    source = open_source(job.kind, job.root)
    spread = planned.todo[:: max(1, len(planned.todo) // 8)] or []
    entries: list[Entry] = []
    for shard in spread:
        entries += islice(entries_of(source, shard.identities), max(1, SAMPLE // len(spread)))
    if not entries:
        return Estimate(0, 0.0, 0, 0)
    pipeline = Pipeline(source, load(job.choice, job.device), job.settings, job.threads)
    # The first batch pays for warming up.
    list(pipeline(entries[:4]))
    began = time.perf_counter()
    size = 0
    for batch in pipeline(entries):
        size += sum(map(len, batch.crops)) + sum(map(len, batch.masks)) + batch.embeddings.nbytes
        size += _ROW_BYTES * len(batch.photos)
    seconds = (time.perf_counter() - began) / len(entries) * planned.photos_todo / planned.workers
    return Estimate(planned.photos_todo, seconds, size * planned.photos_todo // len(entries), len(entries))


def duration(seconds: float) -> str:
    """Seconds -> words: '8.3 s', '4 min 10 s', '26 h 5 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours:,} h {rest // 60} min" if hours else f"{whole // 60} min {whole % 60} s"
