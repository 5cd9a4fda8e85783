"""Writing and reading the frozen listing of a dataset: its photos, and the fingerprints of its shards in the footer."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields

import pyarrow as pa

from curate.fingerprint import fingerprint
from curate.measure.job import MeasureJob, PlannedShard, Shard
from curate.measure.listing import FILE_NAME, SCHEMA, RecordingLayout
from curate.measure.part import WHOLE
from curate.measure.request import MeasureRequest
from curate.measure.shards import limited, list_shards, settings_inputs
from curate.sources import Source
from manifests.errors import DatasetError
from manifests.layout import ModelsRecord
from manifests.records import InvalidRecordError, parse_record
from manifests.table_file import TableFile
from manifests.writer import write_table

Lister = Callable[[Source, MeasureRequest, MeasureJob, ModelsRecord], list[Shard]]

_SHARDS = "swapset.shards"
"""Footer key: the shards, a JSON list of the fields of `PlannedShard`."""


def write_listing(source: Source, request: MeasureRequest, job: MeasureJob, models: ModelsRecord) -> list[Shard]:
    """List all shards, and write the listing into the dataset's directory meanwhile."""
    identities = limited(source, request.limit)
    recording = RecordingLayout(source.layout)
    recorded = Source(source.store, recording)
    shards: list[Shard] = []

    def groups() -> Iterator[pa.Table]:
        for shard in list_shards(recorded, identities, job, models):
            shards.append(shard)
            yield recording.take()

    def footer() -> dict[str, str]:
        names = [field.name for field in fields(PlannedShard)]
        values = [{name: value for name, value in asdict(shard).items() if name in names} for shard in shards]
        return {_SHARDS: json.dumps(values)}

    write_table(job.out / FILE_NAME, groups(), SCHEMA, final_metadata=footer)
    return shards


def read_listing(source: Source, request: MeasureRequest, job: MeasureJob, models: ModelsRecord) -> list[Shard]:
    """Return the shards of the listing, or those of one part. Raises DatasetError where it is of another version."""
    path = job.out / FILE_NAME
    again = f"run `curate plan {request.layout} --root {request.root} --out {request.out}` again"
    try:
        planned = parse_record(TableFile(path).metadata.get(_SHARDS, ""), list[PlannedShard])
    except InvalidRecordError as error:
        raise DatasetError(f"{path} is not valid ({error}): {again}") from error
    settings = fingerprint(settings_inputs(job, models))
    if len(planned) != job.buckets or any(shard.settings_fingerprint != settings for shard in planned):
        raise DatasetError(f"{path} was planned with other settings, or by another version of swapset: {again}")
    return [Shard(**vars(planned[bucket])) for bucket in (request.part or WHOLE).buckets(job.buckets)]
