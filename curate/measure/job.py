"""The unit of work of a measurement: a shard of one dataset, and what a worker needs to measure it."""

from dataclasses import dataclass
from pathlib import Path

from curate.measure import PHOTOS_PER_BUCKET
from curate.measure.listing import FILE_NAME, open_frozen
from curate.measure.settings import MeasureSettings
from curate.sources import Source, open_source
from manifests.layout import ChoiceRecord, shard_name

MAX_BUCKETS = 1024


@dataclass(frozen=True, kw_only=True)
class MeasureJob:
    """What a worker needs to measure shards of one dataset. Picklable.

    `threads`: of each worker. `embedder_id`: of the embedder of `choice`. `planned`: the photos are those of the
    dataset's frozen listing.
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
    planned: bool = False

    def path(self, family: str, bucket: int) -> Path:
        """Return the file of a bucket in one family, "faces" or "measures"."""
        return self.out / family / f"{shard_name(bucket, self.buckets)}.parquet"

    def embeddings_path(self, bucket: int) -> Path:
        """Return the file of a bucket's embeddings by this job's embedder."""
        return self.path(f"embeddings/{self.embedder_id}", bucket)

    def open_source(self) -> Source:
        """Open the photos. Raises SourceError, and DatasetError where the frozen listing cannot be read."""
        if self.planned:
            return open_frozen(self.root, self.out / FILE_NAME)
        return open_source(self.layout, self.root, self.identities)


@dataclass(frozen=True)
class PlannedShard:
    """One bucket of the source, as it is listed.

    Attributes:
        bucket: its number.
        identities: keys of its people, sorted.
        photos: their number of photos.
        settings_fingerprint: of everything besides the photos on which faces and measures depend.
        faces_fingerprint: of the inputs of faces and measures.
        embeddings_fingerprint: of those of the embeddings.
    """

    bucket: int
    identities: tuple[str, ...]
    photos: int
    settings_fingerprint: str
    faces_fingerprint: str
    embeddings_fingerprint: str


@dataclass(frozen=True)
class ChangeCounts:
    """Numbers of photos, see `curate.measure.stored.Changes`."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


@dataclass(frozen=True)
class Shard(PlannedShard):
    """One bucket of the source, and the state of its files.

    Attributes:
        stale: measured, but a table is damaged, or a photo has changed since without changing its size or modification
            time.
        damaged: a table is damaged, so that no row is taken over.
        altered: image_ids of photos that have changed without changing their size or modification time.
        measured: faces and measures are finished, the embeddings are not.
        counts: of the photos of an unfinished shard that was measured before with the same settings; else None.
        isolated: a process died while it measured the shard, so its photos are decoded in processes of their own.
    """

    stale: bool = False
    damaged: bool = False
    altered: frozenset[str] = frozenset()
    measured: bool = False
    counts: ChangeCounts | None = None
    isolated: bool = False

    @property
    def photos_to_measure(self) -> int:
        """Number of photos whose rows are not taken over."""
        return self.photos - (self.counts.unchanged if self.counts else 0)


def choose_buckets(photos: int) -> int:
    """Return the number of shards of a new dataset of `photos` photos; it is fixed from then on."""
    return max(1, min(MAX_BUCKETS, -(-photos // PHOTOS_PER_BUCKET)))
