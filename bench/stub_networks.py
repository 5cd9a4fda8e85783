"""A pipeline without networks: rows and pixels that depend on the bytes of a photo alone, for benches of all else."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from curate.decode import Decoded
from curate.faces.faces import Faces
from curate.measure import worker
from curate.measure.detection import Detections
from curate.measure.job import MeasureJob
from curate.measure.measured import MeasuredBatch
from curate.measure.photos import Photo
from curate.measure.worker import ShardWorker
from curate.sources import Entry, Source
from manifests.schema import FACE_NUMBERS

DIM = 128
_POINTS = np.array([[70, 90], [130, 90], [100, 125], [75, 150], [125, 150]], np.float32)
_CROP, _MASK = 22_000, 1_500  # bytes, as of crops of 224 px


class StubPipeline:
    """Takes the place of `curate.measure.pipeline.Pipeline`: one face on each photo."""

    def __init__(self, source: Source, *_: Any) -> None:
        self._source = source
        self.reader = SimpleNamespace(isolated=False, batches=self._batches)

    def __call__(self, entries: Iterable[Entry]) -> Iterator[MeasuredBatch]:
        for photos in self._batches(entries):
            digests = [bytes.fromhex(photo.sha256 or "") for photo in photos]
            count = len(photos)
            points = np.tile(_POINTS, (count, 1, 1))
            boxes = np.tile(np.array([50, 50, 150, 170], np.float32), (count, 1))
            faces = Faces(np.arange(count), boxes, points, np.ones(count, np.float32))
            detections = Detections(faces, np.zeros(count, np.int16), [None] * count)
            crops = [(digest * (_CROP // 32 + 1))[: _CROP + digest[0]] for digest in digests]
            masks = [(digest[::-1] * (_MASK // 32 + 1))[: _MASK + digest[1]] for digest in digests]
            matrices = np.tile(np.eye(2, 3), (count, 1, 1))
            vectors = self.embed([photo.decoded.pixels for photo in photos if photo.decoded], faces)
            yield MeasuredBatch(photos, detections, faces, matrices, _columns(digests), crops, masks, vectors)

    def embed(self, images: Sequence[Any], faces: Faces) -> Any:
        """Return unit vectors float16 (N, DIM) that depend on the pixels."""
        seeds = [int.from_bytes(images[index].tobytes()[:8], "little") for index in faces.photo]
        vectors = np.stack([np.random.default_rng(seed).standard_normal(DIM) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)

    def _batches(self, entries: Iterable[Entry]) -> Iterator[list[Photo]]:
        rest = iter(entries)
        while batch := list(islice(rest, 32)):
            yield [self._read(entry) for entry in batch]

    def _read(self, entry: Entry) -> Photo:
        sha256 = hashlib.sha256(self._source.read(entry)).hexdigest()
        pixels = np.frombuffer(bytes.fromhex(sha256)[:12], np.uint8).reshape(2, 2, 3)
        decoded = Decoded(pixels, 200, 200, "JPEG", 1, ())
        return Photo(entry, sha256, decoded, {"phash": sha256[:16], "phash_mirror": sha256[16:32]})


def _columns(digests: list[bytes]) -> dict[str, np.ndarray]:
    values = np.array([digest[2] / 255 for digest in digests], np.float32)
    columns: dict[str, np.ndarray] = {
        column.name: values for column in FACE_NUMBERS if pa.types.is_floating(column.dtype)
    }
    columns["landmark_source"] = np.array(["detector"] * len(digests))
    columns["face_phash"] = np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)
    return columns


def open_worker(job: MeasureJob) -> ShardWorker:
    """Make a worker without networks, in this process."""
    worker.Pipeline = StubPipeline  # type: ignore[misc,assignment]
    return ShardWorker(job, SimpleNamespace(embedder=SimpleNamespace(dim=DIM)))  # type: ignore[arg-type]
