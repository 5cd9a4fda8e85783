"""Photos read and decoded by threads, ahead of the networks, in batches."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from curate.decode import Decoded, DecodeError, decode, limit_note
from curate.measure.table import Measure, PhotoValue, measure_photo
from curate.sources import Entry, Source

BATCH_PHOTOS = {"cpu": 32, "cuda": 128}
BATCH_PIXELS = {"cpu": 24_000_000, "cuda": 48_000_000}
"""A batch ends at this many photos or pixels, whichever comes first. A GPU computes a few photos as long as many."""
READ_AHEAD_BYTES = 64_000_000
"""File bytes of the photos that are read in advance."""


@dataclass(frozen=True)
class Photo:
    """One file of the source.

    Attributes:
        entry: the file as the source lists it.
        sha256: hash of its bytes, hex; None where they could not be read.
        decoded: its pixels; None where there is an error.
        columns: results of the photo measures; empty where there is an error.
        error: why it could not be read or decoded, else None.
    """

    entry: Entry
    sha256: str | None
    decoded: Decoded | None
    columns: dict[str, PhotoValue] = field(default_factory=dict)
    error: str | None = None


class PhotoReader:
    """Reads, decodes and measures the photos of one source in a pool of threads.

    `device`: "cpu" or "cuda", where the batches go to.
    """

    def __init__(
        self,
        source: Source,
        max_pixels: int,
        measures: Sequence[Measure],
        pool: ThreadPoolExecutor,
        device: str = "cpu",
    ) -> None:
        self.batch_photos, self.batch_pixels = BATCH_PHOTOS[device], BATCH_PIXELS[device]
        self.source = source
        self.max_pixels = max_pixels
        self.measures = measures
        self.pool = pool
        self.isolated = False
        """Whether photos are decoded in another process, which they may crash."""

    def batches(self, entries: Iterable[Entry]) -> Iterator[list[Photo]]:
        """Yield photos in the order of `entries`, in batches that depend on nothing but the photos."""
        batch: list[Photo] = []
        pixels = 0
        for photo in self._read_ahead(entries):
            size = photo.decoded.width * photo.decoded.height if photo.decoded else 0
            if batch and (len(batch) == self.batch_photos or pixels + size > self.batch_pixels):
                yield batch
                batch, pixels = [], 0
            batch.append(photo)
            pixels += size
        if batch:
            yield batch

    def _read_ahead(self, entries: Iterable[Entry]) -> Iterator[Photo]:
        """Yield photos in order, with up to a batch of them decoded in advance, fewer where the files are large."""
        ahead: deque[tuple[int, Future[Photo]]] = deque()
        pending_bytes = 0
        for entry in entries:
            ahead.append((entry.size, self.pool.submit(self.read, entry)))
            pending_bytes += entry.size
            while len(ahead) > self.batch_photos or (pending_bytes > READ_AHEAD_BYTES and len(ahead) > 1):
                size, photo = ahead.popleft()
                pending_bytes -= size
                yield photo.result()
        yield from (photo.result() for _, photo in ahead)

    def read(self, entry: Entry) -> Photo:
        """Read, hash, decode and measure one photo; a fault of the file becomes its `error`."""
        data: bytes | None = None
        try:
            data = self.source.read(entry)
            decoded = decode(data, max_pixels=self.max_pixels, shrink=True, isolated=self.isolated)
        except DecodeError as error:
            sha256 = hashlib.sha256(data).hexdigest() if data is not None else None
            reason = str(error)
            return Photo(entry, sha256, None, error=reason + limit_note(reason, self.max_pixels))
        return Photo(entry, hashlib.sha256(data).hexdigest(), decoded, measure_photo(self.measures, decoded))
