"""The buckets of a dataset under the identities that a person gave: photos that are moved or joined are read together.

An identity's shard follows from its name, so photos that are moved to it may be in any shard. All photos of identities
that receive some are read as one additional bucket; the relations are written in the order of the measures all the
same.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.overrides import Overrides, corrected_identity
from curate.relate.bucket import MeasuredBucket, ReadBucket

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class CorrectedBuckets:
    """Buckets 0 to count - 1 of a dataset of `buckets` shards; the last one is additional where photos are moved.

    The additional bucket is held in memory: all photos of the identities that receive photos.
    """

    def __init__(self, read: ReadBucket, buckets: int, overrides: Overrides) -> None:
        self._read, self._buckets, self._overrides = read, buckets, overrides
        targets = {overrides.identity_of(name) for name in (*overrides.moved.values(), *overrides.joined)}
        self._targets = pa.array(sorted(targets), pa.string())
        self._taken: list[Rows] = []
        self._additional = self._gather() if targets else None

    @property
    def count(self) -> int:
        """Number of buckets to relate."""
        return self._buckets + (self._additional is not None)

    def read(self, bucket: int) -> MeasuredBucket:
        """Read a bucket with corrected identities."""
        if self._additional is None:
            return self._read(bucket)
        if bucket == self._buckets:
            return self._additional
        part, taken = self._corrected(bucket)
        return _take(part, np.flatnonzero(~taken))

    def relations(self, bucket: int, rows_of: Callable[[int], pa.Table]) -> pa.Table:
        """Return the relations of a shard's rows in their order; rows_of: those of a bucket to relate."""
        if self._additional is None:
            return rows_of(bucket)
        taken = self._taken[bucket]
        if not len(taken):
            return rows_of(bucket)
        own, additional = rows_of(bucket), rows_of(self._buckets)
        start = sum(len(rows) for rows in self._taken[:bucket])
        moved = additional.take(pa.array(self._place[start : start + len(taken)]))
        table = pa.concat_tables([own, moved])
        place = np.concatenate([np.delete(np.arange(len(table)), taken), taken])
        return table.take(pa.array(np.argsort(place)))

    def _gather(self) -> MeasuredBucket:
        parts = []
        for bucket in range(self._buckets):
            part, taken = self._corrected(bucket)
            self._taken.append(np.flatnonzero(taken))
            parts.append(_take(part, self._taken[-1]))
        measures = pa.concat_tables([part.measures for part in parts])
        together = MeasuredBucket(measures, np.concatenate([part.vectors for part in parts]))
        keys = [(name, "ascending") for name in ("identity", "image_id")]
        order = pc.sort_indices(measures, sort_keys=keys).to_numpy().astype(np.int64)  # stable: faces stay in order
        self._place = np.argsort(order)
        return _take(together, order)

    def _corrected(self, bucket: int) -> tuple[MeasuredBucket, Flags]:
        """A shard with corrected identities, and the rows that belong to the additional bucket."""
        part = self._read(bucket)
        table = part.measures
        identity, _ = corrected_identity(table["image_id"], table["identity"], self._overrides)
        index = table.schema.get_field_index("identity")
        table = table.set_column(index, table.schema.field(index), pa.chunked_array([identity]))
        taken = pc.is_in(identity, self._targets)
        return MeasuredBucket(table, part.vectors), np.asarray(taken.to_numpy(zero_copy_only=False), bool)


def _take(part: MeasuredBucket, rows: Rows) -> MeasuredBucket:
    """Some rows of a bucket, in the given order."""
    has_face = part.has_face
    at = np.where(has_face, np.cumsum(has_face) - 1, -1)[rows]
    return MeasuredBucket(part.measures.take(pa.array(rows)).combine_chunks(), part.vectors[at[at >= 0]])
