"""The rows of a shard that was measured before, which are taken over for the photos that are unchanged.

A photo is unchanged where the source lists the same of it (path, identity, size, modification time, split, landmarks,
box) and settings and networks are the same. Landmarks of a source are checked on a sample of each folder (see
`supplied.py`), so the photos of a folder that have landmarks are unchanged only together.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.lineage import is_made_from
from curate.measure.job import MeasureJob, Shard
from curate.sources import Entry
from manifests.errors import DatasetError
from manifests.layout import FINGERPRINT
from manifests.table_file import TableFile

SETTINGS_FINGERPRINT = "swapset.settings_fingerprint"
"""Footer key of faces and measures: hash of everything besides the photos on which the rows depend."""

_KEYS = ["image_id", "identity", "face_id", "listing_key", "landmark_source", "landmarks_rejected"]
_Folder = tuple[str, str]


@dataclass(frozen=True)
class Rows:
    """Rows of consecutive photos: those of MEASURES, and for each of their faces those of FACES and its embedding.

    The faces, which hold the pixels, come in tables of limited size.
    """

    photos: int
    measures: pa.Table
    faces: Iterable[pa.Table]
    embeddings: pa.Table


@dataclass(frozen=True)
class Changes:
    """How the photos of a source differ from those of a measured shard, by image_id.

    Attributes:
        added: the shard lacks them.
        changed: the source lists something else of them than when they were measured, or their bytes differ.
        removed: the source no longer has them.
        unchanged: their rows are taken over.
    """

    added: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    unchanged: frozenset[str] = frozenset()


class StoredShard:
    """The three tables of a shard that was measured with the current settings and networks."""

    def __init__(self, measures: TableFile, faces: TableFile, embeddings: TableFile) -> None:
        self._files = measures, faces, embeddings
        self._keys = measures.read(_KEYS)
        names = np.array(self._keys["image_id"].to_pylist(), object)
        first = np.flatnonzero(np.append(True, names[1:] != names[:-1])) if len(names) else np.empty(0, np.int64)
        has_face = self._keys["face_id"].is_valid().to_numpy()
        self._row = np.append(first, len(names))  # (P + 1,), first row of each photo
        self._face = np.append(0, np.cumsum(has_face))[self._row]  # (P + 1,), first face of each photo
        self._place = {str(name): place for place, name in enumerate(names[first])}
        self._photos = self._keys.take(pa.array(first))  # (P,)

    @classmethod
    def open(cls, shard: Shard, job: MeasureJob) -> "StoredShard | None":
        """Open the stored tables; None where one is missing, damaged, or was made with other settings or networks."""
        paths = [job.path("measures", shard.bucket), job.path("faces", shard.bucket), job.embeddings_path(shard.bucket)]
        if shard.damaged or not all(path.exists() for path in paths):
            return None
        try:
            return cls._open(shard, *map(TableFile, paths))
        except DatasetError:  # of another version, or damaged since it was planned
            return None

    @classmethod
    def _open(cls, shard: Shard, measures: TableFile, faces: TableFile, embeddings: TableFile) -> "StoredShard | None":
        settings = {table.metadata.get(SETTINGS_FINGERPRINT) for table in (measures, faces)}
        photos = {table.metadata.get(FINGERPRINT) for table in (measures, faces)}
        consistent = is_made_from(measures.metadata, faces=faces.digest) and is_made_from(
            embeddings.metadata, measures=measures.digest
        )
        current = settings == {shard.settings_fingerprint} and len(photos) == 1 and consistent
        return cls(measures, faces, embeddings) if current else None

    def compare(self, entries: Sequence[Entry], altered: frozenset[str] = frozenset()) -> Changes:
        """Compare the photos that the source has now with those of the shard.

        altered: image_ids whose bytes are known to differ, although the source lists the same of them.
        """
        listed = {entry.image_id: entry for entry in entries}
        stored = dict(zip(self._place, self._photos["listing_key"].to_pylist(), strict=True))
        common = listed.keys() & stored.keys()
        changed = {name for name in common if name in altered or listed[name].key() != stored[name]}
        added, removed = listed.keys() - common, stored.keys() - common
        folders = {_folder(listed[name]) for name in added | changed if listed[name].landmarks is not None}
        folders |= {folder for name, folder in self._landmarked.items() if name in removed | changed}
        unchanged = {
            name for name in common - changed if listed[name].landmarks is None or _folder(listed[name]) not in folders
        }
        return Changes(*map(frozenset, (added, changed, removed, unchanged)))

    @cached_property
    def _landmarked(self) -> dict[str, _Folder]:
        """Photos with landmarks of the source that could be checked, and their folders."""
        rejected = self._photos["landmarks_rejected"].is_valid()
        used = pc.fill_null(pc.equal(self._photos["landmark_source"], "source"), False)
        rows = self._photos.filter(pc.or_(rejected, used))
        pairs = zip(rows["image_id"].to_pylist(), rows["identity"].to_pylist(), strict=True)
        return {name: (identity, name.rpartition("/")[0]) for name, identity in pairs}

    def runs(self, names: Sequence[str]) -> Iterator[Rows]:
        """Yield the rows of these photos, which are given in the order of the shard, in runs that the shard stores."""
        places = np.array([self._place[name] for name in names], np.int64)
        for run in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1) if len(places) else []:
            begin, end = int(run[0]), int(run[-1]) + 1
            row, face = self._row[[begin, end]].tolist(), self._face[[begin, end]].tolist()
            yield Rows(
                end - begin,
                self._measures.slice(row[0], row[1] - row[0]),
                self._face_rows(*face),
                self._embeddings.slice(face[0], face[1] - face[0]),
            )

    @cached_property
    def _measures(self) -> pa.Table:
        return self._files[0].read()

    @cached_property
    def _embeddings(self) -> pa.Table:
        return self._files[2].read()

    def _face_rows(self, start: int, stop: int) -> Iterator[pa.Table]:
        """Yield the rows `start` to `stop` of FACES; one row group at a time is in memory."""
        ends = np.cumsum([self._files[1].rows_of(group) for group in range(self._files[1].row_groups)]).tolist()
        for group, end in enumerate(ends):
            begin = ends[group - 1] if group else 0
            if begin < stop and start < end:
                if self._group is None or self._group[0] != group:
                    self._group = None  # not two row groups in memory
                    self._group = group, self._files[1].read(group=group)
                first = max(start, begin)
                yield self._group[1].slice(first - begin, min(stop, end) - first)

    _group: tuple[int, pa.Table] | None = None


def _folder(entry: Entry) -> _Folder:
    return entry.identity, entry.image_id.rpartition("/")[0]
