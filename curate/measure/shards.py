"""The shards of one dataset: which are finished, and how a worker measures one.

The shard of an identity is a hash of its name, so that a new identity changes one shard. A shard is finished when its
files exist under their final names and carry the fingerprint of their inputs: the photos' names, sizes and modification
times, the settings and the networks. No other state is kept between runs.
"""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.decode import Pixels
from curate.engines.engine import Advance
from curate.errors import DecodeError
from curate.faces.faces import Faces
from curate.faces.models import Models, load
from curate.fingerprint import fingerprint
from curate.lineage import is_made_from, made_from
from curate.measure import PHOTOS_PER_BUCKET
from curate.measure.pipeline import Pipeline
from curate.measure.rows import PIXEL_COLUMNS, embeddings_rows, faces_rows, measures_rows
from curate.measure.settings import REVISION, MeasureSettings
from curate.measure.sharpness import load_calibration
from curate.measure.table import versions
from curate.sources import Entry, Source, open_source
from curate.sources.layouts.listing import is_no_identity
from manifests.arrays import box_array, landmark_array
from manifests.errors import DamagedError
from manifests.layout import FINGERPRINT, ChoiceRecord, ModelsRecord, bucket_of, shard_name
from manifests.output import has_partial
from manifests.reader import read_table
from manifests.schema import BOX, LANDMARKS, SCHEMA_VERSION, arrow_schema, embeddings_schema
from manifests.table_file import TableFile
from manifests.writer import FacesWriter, write_table

MAX_BUCKETS = 1024
_HASHING_THREADS = 4  # reading and hashing release the GIL


@dataclass(frozen=True, kw_only=True)
class MeasureJob:
    """What a worker needs to measure shards of one dataset. Picklable.

    `threads`: of each worker. `embedder_id`: of the embedder of `choice`.
    """

    layout: str
    root: Path
    out: Path
    buckets: int
    choice: ChoiceRecord
    settings: MeasureSettings
    device: str
    threads: int
    embedder_id: str
    identities: str | None = None

    def path(self, family: str, bucket: int) -> Path:
        """Return the file of a bucket in one family, "faces" or "measures"."""
        return self.out / family / f"{shard_name(bucket, self.buckets)}.parquet"

    def embeddings_path(self, bucket: int) -> Path:
        """Return the file of a bucket's embeddings by this job's embedder."""
        return self.path(f"embeddings/{self.embedder_id}", bucket)

    def open_source(self) -> Source:
        """Open the photos. Raises SourceError."""
        return open_source(self.layout, self.root, self.identities)

    def setup(self) -> "ShardWorker":
        """Load the networks; called once in each worker."""
        return ShardWorker(self, load(self.choice, self.device))


@dataclass(frozen=True)
class Shard:
    """One bucket of the source.

    `faces_fingerprint`: of the inputs of faces and measures; `embeddings_fingerprint`: of those of the embeddings.
    `isolated`: a process died while it measured the shard, so its photos are decoded in processes of their own.
    `stale`: measured, but a table is damaged, or a photo has changed since without changing its size or modification
    time.
    """

    bucket: int
    identities: tuple[str, ...]
    photos: int
    faces_fingerprint: str
    embeddings_fingerprint: str
    stale: bool = False
    isolated: bool = False


def choose_buckets(photos: int) -> int:
    """Return the number of shards of a new dataset of `photos` photos; it is fixed from then on."""
    return max(1, min(MAX_BUCKETS, -(-photos // PHOTOS_PER_BUCKET)))


def entries_of(source: Source, identities: Iterable[str]) -> Iterator[Entry]:
    """Yield the photos of these identities in the order in which shards hold them."""
    keys = sorted(identities)
    # Photos without identity may be listed in several parts; their rows are in order too.
    loose = [entry for key in keys if is_no_identity(key) for entry in source.entries(key)]
    yield from sorted(loose, key=lambda entry: entry.image_id)
    for key in keys:
        if not is_no_identity(key):
            yield from source.entries(key)


def list_shards(source: Source, identities: Iterable[str], job: MeasureJob, models: ModelsRecord) -> list[Shard]:
    """List all shards of the dataset, empty ones too, with the fingerprints of their inputs.

    `models`: as `curate.faces.models.identify` returns them.
    """
    members: list[list[str]] = [[] for _ in range(job.buckets)]
    for identity in identities:
        members[bucket_of(identity, job.buckets)].append(identity)
    inputs = {
        "schema": SCHEMA_VERSION,
        "settings": job.settings.fingerprint_values(),
        "revision": REVISION,
        "measures": versions(),
        "detector": models.detector,
        "segmenter": models.segmenter,
        "calibration": asdict(load_calibration()),
    }
    shards = []
    for bucket, names in enumerate(members):
        digest, photos = hashlib.sha256(), 0
        for entry in entries_of(source, names):
            digest.update(_entry_key(entry))
            photos += 1
        faces_fingerprint = fingerprint({**inputs, "photos": digest.hexdigest()})
        embeddings_fingerprint = fingerprint({"faces": faces_fingerprint, "embedder": job.embedder_id})
        shards.append(Shard(bucket, tuple(sorted(names)), photos, faces_fingerprint, embeddings_fingerprint))
    return shards


def _entry_key(entry: Entry) -> bytes:
    """Everything about a listed photo on which its measurement depends."""
    key = (entry.image_id, entry.size, entry.mtime_ns, entry.split, entry.landmarks, entry.box, entry.refusal)
    return repr((entry.identity, *key)).encode("utf-8", "surrogateescape")


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


def has_changed(source: Source, shard: Shard, job: MeasureJob, advance: Advance) -> bool:
    """Whether a photo of a finished shard has other bytes than when it was measured, or can no longer be read.

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

    changed = False
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        for photo_changed in pool.map(differs, entries_of(source, shard.identities)):
            changed |= photo_changed
            advance(1)
    return changed


class ShardWorker:
    """Measures shards in a worker process; only embeds the faces of a shard that is measured already."""

    def __init__(self, job: MeasureJob, models: Models) -> None:
        self.job = job
        self.source = job.open_source()
        self.pipeline = Pipeline(self.source, models, job.settings, job.threads)
        self.dim = models.embedder.dim

    def __call__(self, shard: Shard, advance: Advance) -> None:
        self.pipeline.reader.isolated = shard.isolated
        if not shard.stale and is_measured(shard, self.job):
            vectors = self._embed(shard, advance)
        else:
            vectors = self._measure(shard, advance)
        measures = TableFile(self.job.path("measures", shard.bucket))
        stamp = {FINGERPRINT: shard.embeddings_fingerprint, "swapset.embedder_id": self.job.embedder_id}
        stamp |= made_from(measures=measures.digest)
        schema = embeddings_schema(self.dim, stamp)
        write_table(self.job.embeddings_path(shard.bucket), pa.concat_tables([schema.empty_table(), *vectors]), schema)

    def _measure(self, shard: Shard, advance: Advance) -> list[pa.Table]:
        stamp = {FINGERPRINT: shard.faces_fingerprint, "swapset.template": self.job.settings.template}
        schema = arrow_schema("measures", stamp)
        measures, vectors = [schema.empty_table()], []
        with FacesWriter(self.job.path("faces", shard.bucket), stamp) as writer:
            for batch in self.pipeline(entries_of(self.source, shard.identities)):
                faces = faces_rows(batch)
                for rows in _by_identity(faces):
                    writer.add(rows)
                measures.append(measures_rows(batch))
                vectors.append(embeddings_rows(faces, batch.embeddings))
                advance(len(batch.photos))
        assert writer.offsets is not None
        # Measures are written last: they hold the offsets of the pixels in the finished faces file.
        table = _with_offsets(pa.concat_tables(measures), writer.offsets)
        write_table(self.job.path("measures", shard.bucket), table, schema, made_from(faces=writer.digest))
        return vectors

    def _embed(self, shard: Shard, advance: Advance) -> list[pa.Table]:
        """Decode the photos again and embed their faces at the stored landmarks."""
        columns = ["image_id", "identity", "face_id", *BOX, *LANDMARKS]
        stored = read_table(self.job.path("measures", shard.bucket), columns)
        stored = stored.filter(stored["face_id"].is_valid())
        boxes, landmarks = box_array(stored), landmark_array(stored)
        rows_of: dict[str, list[int]] = {}
        for row, image_id in enumerate(stored.column("image_id").to_pylist()):
            rows_of.setdefault(image_id, []).append(row)
        vectors = []
        for photos in self.pipeline.reader.batches(entries_of(self.source, shard.identities)):
            images: list[Pixels] = []
            rows: list[int] = []
            photo_of: list[int] = []
            for photo in photos:
                photo_rows = rows_of.get(photo.entry.image_id, [])
                if photo.decoded is not None and photo_rows:
                    rows += photo_rows
                    photo_of += [len(images)] * len(photo_rows)
                    images.append(photo.decoded.pixels)
            if rows:
                scores = np.full(len(rows), np.nan, np.float32)
                faces = Faces(np.array(photo_of), boxes[rows], landmarks[rows], scores)
                embeddings = self.pipeline.embed(images, faces)
                vectors.append(embeddings_rows(stored.take(rows), embeddings))
            advance(len(photos))
        return vectors


def _by_identity(rows: pa.Table) -> Iterator[pa.Table]:
    """Split consecutive rows of one identity."""
    names = rows.column("identity").to_pylist()
    start = 0
    for _, same in groupby(names):
        length = len(list(same))
        yield rows.slice(start, length)
        start += length


def _with_offsets(measures: pa.Table, offsets: pa.Table) -> pa.Table:
    """Fill the PIXEL_COLUMNS of the measures' faces, in order; rows without a face keep their nulls."""
    has_face = measures.column("face_id").is_valid().to_numpy()
    row = np.where(has_face, np.cumsum(has_face) - 1, -1)
    taken = offsets.take(pa.array(row, mask=row < 0))
    for name in PIXEL_COLUMNS:
        index = measures.schema.get_field_index(name)
        column = taken.column(name).cast(measures.schema.field(name).type)
        measures = measures.set_column(index, measures.schema.field(name), column)
    return measures
