"""A source measured into the shards of one dataset: which are finished, which are not, and how one is written.

The shard of an identity is a hash of its name, so that a new person touches one shard. A shard is finished when its
files exist under their final names and carry the fingerprint of what they were made from: the photos' names, sizes
and modification times, the settings and the networks. Nothing else is remembered between runs.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.decode import Pixels
from curate.errors import DecodeError
from curate.faces.faces import Faces
from curate.faces.models import Choice, Models, fingerprint, load
from curate.measure.pipeline import Pipeline
from curate.measure.rows import embeddings_rows, faces_rows, measures_rows
from curate.measure.settings import REVISION, MeasureSettings
from curate.measure.sharpness import load_calibration
from curate.measure.table import versions
from curate.sources import Entry, Source, open_source
from manifests.layout import FINGERPRINT, bucket_of, shard_name
from manifests.reader import footer, read_table
from manifests.schema import SCHEMA_VERSION, arrow_schema, embeddings_schema
from manifests.writer import FacesWriter, write_table

PHOTOS_PER_BUCKET = 32
MAX_BUCKETS = 1024
_HASHING = 4  # photos read at a time: hashing works outside the GIL, and so does the disk

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Job:
    """All that a worker needs to measure shards of one dataset; picklable."""

    kind: str
    root: Path
    out: Path
    buckets: int
    choice: Choice
    settings: MeasureSettings
    device: str
    threads: int
    embedder_id: str

    def path(self, family: str, bucket: int) -> Path:
        """File of one family ('faces', 'measures') that holds a bucket."""
        return self.out / family / f"{shard_name(bucket, self.buckets)}.parquet"

    def embeddings_path(self, bucket: int) -> Path:
        """File that holds a bucket's embeddings of this job's embedder."""
        return self.path(f"embeddings/{self.embedder_id}", bucket)

    def setup(self) -> "ShardWork":
        """Called in each worker: loads the networks, returns the work."""
        return ShardWork(self, load(self.choice, self.device))


@dataclass(frozen=True)
class Shard:
    """One bucket of the source. `faces_print` stands for faces and measures, `embeddings_print` for embeddings;
    `stale`: measured, but of photos that have changed since."""

    bucket: int
    identities: tuple[str, ...]
    photos: int
    faces_print: str
    embeddings_print: str
    stale: bool = False


def choose_buckets(photos: int) -> int:
    """Photos of a new dataset -> number of shards, fixed from then on."""
    return max(1, min(MAX_BUCKETS, -(-photos // PHOTOS_PER_BUCKET)))


def entries_of(source: Source, identities: Iterable[str]) -> Iterator[Entry]:
    """The photos of these identities, in the order in which shards hold them."""
    for identity in sorted(identities):
        yield from source.entries(identity)


def plan(source: Source, identities: Iterable[str], job: Job, networks: dict[str, str]) -> list[Shard]:
    """Every shard of the dataset, the empty ones too, with the fingerprints that finished ones must carry.

    `networks`: hashes of `detector` and `segmenter` (see `curate.faces.models.identify`).
    """
    members: list[list[str]] = [[] for _ in range(job.buckets)]
    for identity in identities:
        members[bucket_of(identity, job.buckets)].append(identity)
    calibration = asdict(load_calibration())
    shards = []
    for bucket, names in enumerate(members):
        digest, photos = hashlib.sha256(), 0
        for entry in entries_of(source, names):
            told = (entry.image_id, entry.size, entry.mtime_ns, entry.split, entry.landmarks, entry.box, entry.refusal)
            digest.update(repr(told).encode("utf-8", "surrogateescape"))
            photos += 1
        made_from = {
            "photos": digest.hexdigest(),
            "schema": SCHEMA_VERSION,
            "settings": asdict(job.settings),
            "revision": REVISION,
            "measures": versions(),
            "detector": networks["detector"],
            "segmenter": networks["segmenter"],
            "calibration": calibration,
        }
        faces_print = fingerprint(made_from)
        embeddings_print = fingerprint({"faces": faces_print, "embedder": job.embedder_id})
        shards.append(Shard(bucket, tuple(sorted(names)), photos, faces_print, embeddings_print))
    return shards


def is_measured(shard: Shard, job: Job) -> bool:
    """Whether the shard's faces and measures are there, made from just these photos, settings and networks."""
    paths = [job.path(family, shard.bucket) for family in ("measures", "faces")]
    return all((footer(path) or {}).get(FINGERPRINT) == shard.faces_print for path in paths)


def is_finished(shard: Shard, job: Job) -> bool:
    """Whether nothing is left to do for the shard: measured, and embedded by this job's embedder."""
    embedded = (footer(job.embeddings_path(shard.bucket)) or {}).get(FINGERPRINT) == shard.embeddings_print
    return embedded and is_measured(shard, job)


def has_changed(source: Source, shard: Shard, job: Job, tick: Tick) -> bool:
    """Whether a photo of a finished shard has other bytes than those that were measured, or can no longer be read.

    `tick(1)` is called for each photo.
    """
    table = read_table(job.path("measures", shard.bucket), ["image_id", "sha256"])
    told = dict(zip(*(table[name].to_pylist() for name in ("image_id", "sha256")), strict=True))

    def differs(entry: Entry) -> bool:
        try:
            found = hashlib.sha256(source.read(entry)).hexdigest()
        except DecodeError:
            found = None
        return bool(found != told[entry.image_id])

    changed = False
    with ThreadPoolExecutor(_HASHING) as pool:
        for one in pool.map(differs, entries_of(source, shard.identities)):
            changed |= one
            tick(1)
    return changed


class ShardWork:
    """What a worker does with a shard: measure it whole, or embed anew the faces that were measured before."""

    def __init__(self, job: Job, models: Models) -> None:
        self.job = job
        self.source = open_source(job.kind, job.root)
        self.pipeline = Pipeline(self.source, models, job.settings, job.threads)
        self.dim = models.embedder.dim

    def __call__(self, shard: Shard, tick: Tick) -> None:
        if is_measured(shard, self.job) and not shard.stale:
            vectors = self._embed(shard, tick)
        else:
            vectors = self._measure(shard, tick)
        stamp = {FINGERPRINT: shard.embeddings_print, "swapset.embedder_id": self.job.embedder_id}
        schema = embeddings_schema(self.dim, stamp)
        write_table(self.job.embeddings_path(shard.bucket), pa.concat_tables([schema.empty_table(), *vectors]), schema)

    def _measure(self, shard: Shard, tick: Tick) -> list[pa.Table]:
        stamp = {FINGERPRINT: shard.faces_print, "swapset.template": self.job.settings.template}
        schema = arrow_schema("measures", stamp)
        measures, vectors = [schema.empty_table()], []
        with FacesWriter(self.job.path("faces", shard.bucket), stamp) as writer:
            for batch in self.pipeline(entries_of(self.source, shard.identities)):
                faces = faces_rows(batch)
                for rows in _by_identity(faces):
                    writer.add(rows)
                measures.append(measures_rows(batch))
                vectors.append(embeddings_rows(faces, batch.embeddings))
                tick(len(batch.photos))
        assert writer.offsets is not None
        # Measures come last: they tell where the pixels of the finished faces file lie.
        table = _with_offsets(pa.concat_tables(measures), writer.offsets)
        write_table(self.job.path("measures", shard.bucket), table, schema)
        return vectors

    def _embed(self, shard: Shard, tick: Tick) -> list[pa.Table]:
        """Decodes the photos again and embeds their faces where they were found before."""
        faces = read_table(
            self.job.path("faces", shard.bucket), ["image_id", "identity", "face_id", "box", "landmarks"]
        )
        box = faces.column("box").combine_chunks().flatten().to_numpy().reshape(-1, 4)
        points = faces.column("landmarks").combine_chunks().flatten().to_numpy().reshape(-1, 5, 2)
        rows_of: dict[str, list[int]] = {}
        for row, image_id in enumerate(faces.column("image_id").to_pylist()):
            rows_of.setdefault(image_id, []).append(row)
        vectors = []
        for photos in self.pipeline.reader.batches(entries_of(self.source, shard.identities)):
            images: list[Pixels] = []
            rows: list[int] = []
            which: list[int] = []
            for photo in photos:
                found = rows_of.get(photo.entry.image_id, [])
                if photo.decoded is not None and found:
                    rows += found
                    which += [len(images)] * len(found)
                    images.append(photo.decoded.pixels)
            if rows:
                measured = Faces(np.array(which), box[rows], points[rows], np.full(len(rows), np.nan, np.float32))
                embedded = self.pipeline.embed(images, measured)
                vectors.append(embeddings_rows(faces.take(rows), embedded))
            tick(len(photos))
        return vectors


def _by_identity(rows: pa.Table) -> Iterator[pa.Table]:
    names = rows.column("identity").to_pylist()
    start = 0
    for _, same in groupby(names):
        length = len(list(same))
        yield rows.slice(start, length)
        start += length


def _with_offsets(measures: pa.Table, offsets: pa.Table) -> pa.Table:
    """Measures whose faces, in this order, lie where `offsets` says; rows without a face keep their nulls."""
    has_face = measures.column("face_id").is_valid().to_numpy()
    row = np.where(has_face, np.cumsum(has_face) - 1, -1)
    taken = offsets.take(pa.array(row, mask=row < 0))
    for name in ("shard", "crop_offset", "crop_length", "mask_offset", "mask_length"):
        index = measures.schema.get_field_index(name)
        column = taken.column(name).cast(measures.schema.field(name).type)
        measures = measures.set_column(index, measures.schema.field(name), column)
    return measures
