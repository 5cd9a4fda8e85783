"""The shards of one dataset: their photos, their fingerprints, and which of them are finished.

The shard of an identity is a hash of its name, so that a new identity changes one shard. A shard is finished when its
files exist under their final names and carry the fingerprint of their inputs: the photos' names, sizes and modification
times, the settings and the networks. No other state is kept between runs.
"""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from curate.engines.engine import Advance
from curate.errors import DecodeError
from curate.fingerprint import fingerprint
from curate.lineage import is_made_from
from curate.measure import PHOTOS_PER_BUCKET
from curate.measure.job import MAX_BUCKETS, MeasureJob, Shard
from curate.measure.part import WHOLE, Part
from curate.measure.settings import REVISION
from curate.measure.sharpness import load_calibration
from curate.measure.table import versions
from curate.sources import Entry, Source
from curate.sources.layouts.listing import is_no_identity
from manifests.errors import DamagedError
from manifests.layout import FINGERPRINT, ModelsRecord, bucket_of
from manifests.partials import has_partial
from manifests.reader import read_table
from manifests.schema import SCHEMA_VERSION
from manifests.table_file import TableFile

_HASHING_THREADS = 4  # reading and hashing release the GIL


def entries_of(source: Source, identities: Iterable[str]) -> Iterator[Entry]:
    """Yield the photos of these identities in the order in which shards hold them."""
    keys = sorted(identities)
    # Photos without identity may be listed in several parts; their rows are in order too.
    loose = [entry for key in keys if is_no_identity(key) for entry in source.entries(key)]
    yield from sorted(loose, key=lambda entry: entry.image_id)
    for key in keys:
        if not is_no_identity(key):
            yield from source.entries(key)


def limited(source: Source, limit: int | None) -> list[str]:
    """List the source's identities, the first ones that have `limit` photos together where a limit is given."""
    identities = source.identities()
    if limit is None:
        return identities
    chosen, photos = [], 0
    for identity in identities:
        if photos >= limit:
            break
        chosen.append(identity)
        photos += len(source.entries(identity))
    return chosen


def count_photos(source: Source, limit: int | None) -> int:
    """Count the photos, as far as they change the number of shards: all are listed once more, by `list_shards`."""
    photos = 0
    for identity in limited(source, limit):
        photos += len(source.entries(identity))
        if photos >= MAX_BUCKETS * PHOTOS_PER_BUCKET:
            break
    return photos


def list_shards(
    source: Source, identities: Iterable[str], job: MeasureJob, models: ModelsRecord, part: Part = WHOLE
) -> Iterator[Shard]:
    """Yield the shards of the dataset, or of one part of it, empty ones too, with the fingerprints of their inputs.

    `models`: as `curate.faces.models.identify` returns them. The photos of a shard are listed when it is yielded.
    """
    members: list[list[str]] = [[] for _ in range(job.buckets)]
    for identity in identities:
        members[bucket_of(identity, job.buckets)].append(identity)
    settings = settings_inputs(job, models)
    settings_fingerprint = fingerprint(settings)
    for bucket in part.buckets(job.buckets):
        digest, photos = hashlib.sha256(), 0
        for entry in entries_of(source, members[bucket]):
            digest.update(entry.inputs())
            photos += 1
        faces_fingerprint = fingerprint({**settings, "photos": digest.hexdigest()})
        embeddings_fingerprint = fingerprint({"faces": faces_fingerprint, "embedder": job.embedder_id})
        fingerprints = settings_fingerprint, faces_fingerprint, embeddings_fingerprint
        yield Shard(bucket, tuple(sorted(members[bucket])), photos, *fingerprints)


def settings_inputs(job: MeasureJob, models: ModelsRecord) -> dict[str, object]:
    """Return everything besides the photos on which faces and measures depend."""
    return {
        "schema": SCHEMA_VERSION,
        "settings": job.settings.fingerprint_values(),
        "revision": REVISION,
        "measures": versions(),
        "detector": models.detector,
        "segmenter": models.segmenter,
        "calibration": asdict(load_calibration()),
    }


def is_measured(shard: Shard, job: MeasureJob) -> bool:
    """Whether faces and measures of the shard exist for exactly these photos, settings and networks."""
    paths = [job.path(family, shard.bucket) for family in ("measures", "faces")]
    if not all(path.exists() for path in paths):
        return False
    measures, faces = map(TableFile, paths)
    same = all(table.metadata.get(FINGERPRINT) == shard.faces_fingerprint for table in (measures, faces))
    return same and is_made_from(measures.metadata, faces=faces.digest)


def is_finished(shard: Shard, job: MeasureJob) -> bool:
    """Whether the shard is measured and embedded by this job's embedder."""
    path = job.embeddings_path(shard.bucket)
    if not path.exists() or not is_measured(shard, job):
        return False
    metadata, measures = TableFile(path).metadata, TableFile(job.path("measures", shard.bucket))
    return metadata.get(FINGERPRINT) == shard.embeddings_fingerprint and is_made_from(
        metadata, measures=measures.digest
    )


def was_killed(shard: Shard, job: MeasureJob) -> bool:
    """Whether a process died while it measured the shard, and left an unfinished file."""
    return has_partial(job.path("faces", shard.bucket))


def damage(shard: Shard, job: MeasureJob, *, whole: bool = False) -> DamagedError | None:
    """Return the damage of a table of the shard; None where all that exist are as they were written.

    whole: compare every byte with its checksum, not the footers alone.
    """
    for path in (
        job.path("faces", shard.bucket),
        job.path("measures", shard.bucket),
        job.embeddings_path(shard.bucket),
    ):
        try:
            if path.exists():
                table = TableFile(path)
                if whole:
                    table.check()
        except DamagedError as error:
            return error
    return None


def altered_photos(source: Source, shard: Shard, job: MeasureJob, advance: Advance) -> frozenset[str]:
    """Return the photos of a finished shard that have other bytes than when they were measured, or cannot be read.

    Calls `advance(1)` for each photo.
    """
    table = read_table(job.path("measures", shard.bucket), ["image_id", "sha256"])
    measured = dict(zip(*(table[name].to_pylist() for name in ("image_id", "sha256")), strict=True))

    def differs(entry: Entry) -> bool:
        try:
            sha256 = hashlib.sha256(source.read(entry)).hexdigest()
        except DecodeError:
            sha256 = None
        return bool(sha256 != measured[entry.image_id])

    altered = set[str]()
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        entries = list(entries_of(source, shard.identities))
        for entry, differing in zip(entries, pool.map(differs, entries), strict=True):
            if differing:
                altered.add(entry.image_id)
            advance(1)
    return frozenset(altered)
