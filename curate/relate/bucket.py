"""One bucket (shard) of a measured dataset, as relating reads it."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import DatasetError
from curate.listener import Listener, progress
from curate.threads import usable_cores
from manifests.reader import Dataset
from manifests.schema import BOX, NO_IDENTITY

QUALITY = ("sharpness", "eye_distance", "yaw", "pitch", "brightness", "local_contrast")
RANK = ("eye_distance", "sharpness", "file_size")
COPY = (
    "eye_distance", "shrink", "width", "height", "border", "resolution", "quantisation", "jpeg_step", "file_size",
    "edge_grid",
)  # fmt: skip
"""Columns by which the copies of a picture are ordered."""
COLUMNS = (
    "image_id", "identity", "face_id", "sha256", "phash", "phash_mirror", "face_phash",
    *BOX, *dict.fromkeys((*QUALITY, *RANK, *COPY)),
)  # fmt: skip
"""Columns of the measures that relating reads."""

Result = TypeVar("Result")

THREADS = min(8, usable_cores())
"""Buckets that are related at a time."""

CACHED_BYTES = 2 << 30
"""Bytes of the buckets that are held between passes: those of 1.5 million faces with 512 dimensions."""

_SAMPLE_BUCKETS = 64
_SAMPLE_READS = 16 * _SAMPLE_BUCKETS
_SAMPLE_FACES = 20_000
_GOLDEN_RATIO = (5**0.5 - 1) / 2
"""Of its multiples, the fractions of any first few are spread evenly over 0 to 1."""


@dataclass(frozen=True)
class MeasuredBucket:
    """One bucket of M measured rows, F of which have a face.

    Attributes:
        measures: M rows with COLUMNS, sorted by identity, image_id and face.
        vectors: (F, D) unit vectors of the rows with a face, in their order.
    """

    measures: pa.Table
    vectors: npt.NDArray[np.float16]

    @property
    def has_face(self) -> npt.NDArray[np.bool_]:
        """(M,) flags of the rows with a face."""
        return np.asarray(self.measures["face_id"].is_valid().to_numpy(), bool)


ReadBucket = Callable[[int], MeasuredBucket]
"""Reads a bucket by its number, once per pass."""


def map_buckets(listener: Listener, step: str, buckets: int, function: Callable[[int], Result]) -> list[Result]:
    """Return the results of `function` for the numbers of all buckets, in order, see `each_result`."""
    return list(each_result(listener, step, buckets, function))


def each_result(listener: Listener, step: str, buckets: int, function: Callable[[int], Result]) -> Iterator[Result]:
    """Yield the results of `function` for the numbers of all buckets, in order, from one thread per core.

    Each thread holds one bucket, and as many results again wait to be taken. numpy, BLAS and pyarrow release the
    interpreter lock in what takes long.
    """
    pool = ThreadPoolExecutor(min(THREADS, max(1, buckets)))
    ahead: deque[Future[Result]] = deque()
    try:
        with progress(listener, step, buckets, "shards") as advance:
            for bucket in range(buckets):
                ahead.append(pool.submit(function, bucket))
                if len(ahead) > 2 * THREADS:
                    yield ahead.popleft().result()
                    advance(1)
            while ahead:
                yield ahead.popleft().result()
                advance(1)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def sample_faces(read: ReadBucket, buckets: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Read the largest faces of photos from up to 64 buckets spread over the dataset, about 20,000 in total.

    Buckets without a face of an identity do not count (1,024 are read at most): where a few identities are large, most
    are empty.

    Returns:
        (N, D) unit vectors and their (N,) identities, ascending.
    """
    vectors: list[npt.NDArray[np.float32]] = []
    identity: list[npt.NDArray[np.int64]] = []
    faces = identities = 0
    for bucket in np.argsort(np.arange(buckets) * _GOLDEN_RATIO % 1, kind="stable")[:_SAMPLE_READS].tolist():
        part = read(bucket)
        table = part.measures.filter(part.measures["face_id"].is_valid())
        codes = table["identity"].combine_chunks().dictionary_encode()
        rows = np.flatnonzero(_first_faces(table) & (np.asarray(table["identity"].to_numpy()) != NO_IDENTITY))
        if not len(rows) and vectors:
            continue
        vectors.append(part.vectors[rows].astype(np.float32))
        identity.append(codes.indices.to_numpy()[rows].astype(np.int64) + identities)
        identities += len(codes.dictionary)
        faces += len(rows)
        if faces >= _SAMPLE_FACES or len(vectors) == _SAMPLE_BUCKETS:
            break
    return np.concatenate(vectors), np.concatenate(identity)


def _first_faces(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Mark the first row of each photo: its largest face."""
    image_id = np.asarray(table["image_id"].to_numpy())
    return np.concatenate([[True], image_id[1:] != image_id[:-1]])[: len(image_id)]


def bucket_reader(dataset: Dataset, embedder_id: str, cached_bytes: int = CACHED_BYTES) -> ReadBucket:
    """Return a function that reads the buckets of a dataset.

    The first ones that it reads, up to `cached_bytes`, are held for the next pass: reading embeddings takes as long as
    comparing them. It raises DatasetError where the embeddings are missing, or of other faces than the measures.
    """
    held: dict[int, MeasuredBucket] = {}
    left, lock = cached_bytes, threading.Lock()

    def read(bucket: int) -> MeasuredBucket:
        nonlocal left
        if bucket in held:
            return held[bucket]
        part = _read(bucket)
        size = part.measures.nbytes + part.vectors.nbytes
        with lock:
            if size <= left and bucket not in held:
                held[bucket] = part
                left -= size
        return part

    def _read(bucket: int) -> MeasuredBucket:
        face_ids, vectors = dataset.embeddings(embedder_id, bucket)
        measures = dataset.measures(bucket, COLUMNS)
        if not pa.array(face_ids, pa.string()).equals(measures["face_id"].combine_chunks().drop_null()):
            raise DatasetError(
                f"{dataset.path}: embeddings {embedder_id} of bucket {bucket} are of other faces than its measures: "
                "run `curate measure` again"
            )
        return MeasuredBucket(measures, vectors)

    return read
