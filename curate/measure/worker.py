"""A worker: measures the shards of one dataset with networks that are loaded once."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from curate.decode import Pixels
from curate.engines.engine import Advance
from curate.faces.faces import Faces
from curate.faces.models import Models, load
from curate.lineage import made_from
from curate.measure.job import MeasureJob, Shard
from curate.measure.pipeline import Pipeline
from curate.measure.rows import PIXEL_COLUMNS, embeddings_rows, faces_rows, measures_rows
from curate.measure.shards import entries_of, is_measured
from curate.measure.stored import SETTINGS_FINGERPRINT, Rows, StoredShard
from curate.sources import Entry
from manifests.arrays import box_array, landmark_array
from manifests.errors import DamagedError
from manifests.layout import FINGERPRINT
from manifests.reader import read_table
from manifests.schema import BOX, LANDMARKS, arrow_schema, embeddings_schema
from manifests.table_file import TableFile
from manifests.writer import FacesWriter, write_table


class ShardWorker:
    """Measures shards. Takes over the rows of unchanged photos; only embeds the faces of a shard measured already."""

    def __init__(self, job: MeasureJob, models: Models) -> None:
        self.job = job
        self.source = job.open_source()
        self.pipeline = Pipeline(self.source, models, job.settings, job.threads)
        self.dim = models.embedder.dim

    @classmethod
    def open(cls, job: MeasureJob) -> "ShardWorker":
        """Load the networks of a job; called once in each worker process."""
        return cls(job, load(job.choice, job.device))

    def __call__(self, shard: Shard, advance: Advance) -> None:
        self.pipeline.reader.isolated = shard.isolated
        if not shard.stale and is_measured(shard, self.job):
            embeddings = self._embed(shard, advance)
        else:
            embeddings = self._measure(shard, advance)
        measures = TableFile(self.job.path("measures", shard.bucket))
        stamp = {FINGERPRINT: shard.embeddings_fingerprint, "swapset.embedder_id": self.job.embedder_id}
        stamp |= made_from(measures=measures.digest)
        schema = embeddings_schema(self.dim, stamp)
        tables = pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in embeddings)])
        write_table(self.job.embeddings_path(shard.bucket), tables, schema)

    def _measure(self, shard: Shard, advance: Advance) -> list[pa.Table]:
        """Write faces and measures; return the embeddings of the faces."""
        entries = list(entries_of(self.source, shard.identities))
        stored = StoredShard.open(shard, self.job)
        counted = 0

        def count(photos: int) -> None:
            nonlocal counted
            counted += photos
            advance(photos)

        if stored is not None:
            unchanged = stored.compare(entries, shard.altered).unchanged
            try:
                return self._write(shard, self._with_stored(entries, stored, unchanged, count))
            except DamagedError:  # found while its rows were read: all photos are measured
                advance(-counted)
        return self._write(shard, self._measured(entries, advance))

    def _measured(self, entries: Iterable[Entry], advance: Advance) -> Iterator[Rows]:
        for batch in self.pipeline(entries):
            faces = faces_rows(batch)
            embeddings = embeddings_rows(faces, batch.embeddings)
            yield Rows(len(batch.photos), measures_rows(batch), [faces], embeddings)
            advance(len(batch.photos))

    def _with_stored(
        self, entries: Sequence[Entry], stored: StoredShard, unchanged: frozenset[str], advance: Advance
    ) -> Iterator[Rows]:
        """Yield the rows of all photos in order, those of the unchanged ones from the stored shard."""
        new = (entry for entry in entries if entry.image_id not in unchanged)
        measured = _PhotoStream(self._measured(new, advance))
        for is_stored, run in groupby(entries, lambda entry: entry.image_id in unchanged):
            names = [entry.image_id for entry in run]
            yield from stored.runs(names) if is_stored else measured.take(len(names))

    def _write(self, shard: Shard, photos: Iterator[Rows]) -> list[pa.Table]:
        stamp = {FINGERPRINT: shard.faces_fingerprint, SETTINGS_FINGERPRINT: shard.settings_fingerprint}
        stamp["swapset.template"] = self.job.settings.template
        schema = arrow_schema("measures", stamp)
        vectors_schema = embeddings_schema(self.dim)
        measures, embeddings = [schema.empty_table()], []
        with FacesWriter(self.job.path("faces", shard.bucket), stamp) as writer:
            for rows in photos:
                for faces in rows.faces:
                    for same in _by_identity(faces):
                        writer.add(same)
                measures.append(rows.measures.cast(schema))
                embeddings.append(rows.embeddings.cast(vectors_schema))
        assert writer.offsets is not None
        # Measures are written last: they hold the offsets of the pixels in the finished faces file.
        table = _with_offsets(pa.concat_tables(measures), writer.offsets)
        write_table(self.job.path("measures", shard.bucket), table, schema, made_from(faces=writer.digest))
        return embeddings

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


class _PhotoStream:
    """Rows of consecutive photos, cut anew: batches end elsewhere than the runs of unchanged photos between them."""

    def __init__(self, batches: Iterator[Rows]) -> None:
        self._batches = batches
        self._rest: Rows | None = None

    def take(self, photos: int) -> Iterator[Rows]:
        """Yield the rows of the next `photos` photos."""
        while photos:
            rows = self._rest or next(self._batches)
            head, self._rest = _split(rows, photos)
            photos -= head.photos
            yield head


def _split(rows: Rows, photos: int) -> tuple[Rows, Rows | None]:
    """Split into the first `photos` photos and the others."""
    if rows.photos <= photos:
        return rows, None
    (faces,) = rows.faces
    names = np.array(rows.measures["image_id"].to_pylist(), object)
    row = int(np.flatnonzero(np.append(True, names[1:] != names[:-1]))[photos])
    face = row - rows.measures["face_id"].slice(0, row).null_count
    head = Rows(photos, rows.measures.slice(0, row), [faces.slice(0, face)], rows.embeddings.slice(0, face))
    rest = rows.measures.slice(row), [faces.slice(face)], rows.embeddings.slice(face)
    return head, Rows(rows.photos - photos, *rest)


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
