"""Reading of single rows of a dataset, bucket by bucket."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.relate.bucket import MeasuredBucket, ReadBucket

HalfFloats = npt.NDArray[np.float16]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowReader:
    """Reads given rows of the dataset, bucket by bucket; start: (buckets + 1,) first row of each bucket."""

    read: ReadBucket
    start: Rows

    def vectors(self, rows: Rows) -> HalfFloats:
        """(n, D) vectors of ascending rows; zeros for a row without a face."""
        parts = [row_vectors(self.read(bucket), part) for bucket, part in self._by_bucket(rows)]
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float16)

    def vectors_in_order(self, rows: Rows) -> HalfFloats:
        """Same as `vectors` for distinct rows in any order."""
        order = np.argsort(rows)
        return self.vectors(rows[order])[np.argsort(order)]

    def face_ids(self, rows: Rows) -> list[str]:
        """The face_id of each of ascending rows."""
        return [
            face_id
            for bucket, part in self._by_bucket(rows)
            for face_id in self.read(bucket).measures["face_id"].take(part).to_pylist()
        ]

    def measures(self, rows: Rows) -> Iterator[pa.Table]:
        """Yield the measures of ascending rows, bucket by bucket."""
        for bucket, part in self._by_bucket(rows):
            yield self.read(bucket).measures.take(part)

    def _by_bucket(self, rows: Rows) -> Iterator[tuple[int, Rows]]:
        """Yield each bucket that holds some of the ascending rows, and these as rows of the bucket."""
        for bucket in range(len(self.start) - 1):
            part = rows[slice(*np.searchsorted(rows, self.start[bucket : bucket + 2]))] - self.start[bucket]
            if len(part):
                yield bucket, part


def row_vectors(part: MeasuredBucket, rows: Rows) -> HalfFloats:
    """(n, D) vectors of rows of a bucket, zeros for a row without a face."""
    has_face = part.has_face
    at = np.where(has_face, np.cumsum(has_face) - 1, -1)[rows]
    vectors = np.zeros((len(rows), part.vectors.shape[1]), np.float16)
    vectors[at >= 0] = part.vectors[at[at >= 0]]
    return vectors
