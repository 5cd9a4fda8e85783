"""Time and disk space that a run would need, extrapolated from a sample that is measured in memory."""

import time
from dataclasses import dataclass
from itertools import islice

from curate.counts import counted
from curate.durations import format_duration
from curate.faces.models import check_device, load
from curate.measure.measure import MeasurePlan
from curate.measure.pipeline import Pipeline
from curate.measure.shards import entries_of
from curate.sources import Entry

SAMPLE_PHOTOS = 32
SAMPLE_SHARDS = 8
WARM_UP_PHOTOS = 4
_ROW_BYTES = 420  # a face's row in measures, relations and manifest together, compressed; measured


@dataclass(frozen=True)
class Estimate:
    """Photos to measure, seconds and bytes on disk that they need, and the number of photos sampled."""

    photos: int
    seconds: float
    bytes: int
    sampled: int

    def summary(self) -> str:
        """Describe the estimate in one line."""
        if not self.photos:
            return "dry run: all photos are measured already"
        return (
            f"dry run: {counted(self.photos, 'photo')} to measure, about {format_duration(self.seconds)} "
            f"({self.photos / self.seconds:.1f} photos/s) and {self.bytes / 1e6:,.0f} MB on disk, "
            f"extrapolated from {counted(self.sampled, 'photo')}; nothing was written"
        )


def estimate(plan: MeasurePlan) -> Estimate:
    """Measure a sample of the plan's unfinished photos, spread over its shards, and extrapolate. Writes nothing."""
    job = plan.job
    source = job.open_source()
    shards = plan.todo[:: max(1, len(plan.todo) // SAMPLE_SHARDS)]
    sample: list[Entry] = []
    for shard in shards:
        sample += islice(entries_of(source, shard.identities), max(1, SAMPLE_PHOTOS // len(shards)))
    if not sample:
        return Estimate(photos=0, seconds=0.0, bytes=0, sampled=0)
    pipeline = Pipeline(source, load(job.choice, check_device(job.device)), job.settings, job.threads)
    # The first batch is slower: memory is allocated and kernels are chosen.
    list(pipeline(sample[:WARM_UP_PHOTOS]))
    began = time.perf_counter()
    size = 0
    for batch in pipeline(sample):
        size += sum(map(len, batch.crops)) + sum(map(len, batch.masks)) + batch.embeddings.nbytes
        size += _ROW_BYTES * len(batch.photos)
    seconds_per_photo = (time.perf_counter() - began) / len(sample)
    return Estimate(
        photos=plan.photos_todo,
        seconds=seconds_per_photo * plan.photos_todo / max(1, plan.workers),
        bytes=size * plan.photos_todo // len(sample),
        sampled=len(sample),
    )
