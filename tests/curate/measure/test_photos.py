"""curate/measure/photos.py: order, limits of a batch, and faults of a file."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from curate.decode import DecodeError
from curate.measure import photos
from curate.measure.photos import PhotoReader
from curate.measure.table import Measure
from curate.sources import Entry

WIDTH = Measure("width", "photo", ("photo_width",), ("width",), lambda width: {"photo_width": width})


@dataclass
class Files:
    """A source of files in memory; None cannot be read."""

    files: dict[str, bytes | None]

    def read(self, entry: Entry) -> bytes:
        data = self.files[entry.image_id]
        if data is None:
            raise DecodeError("cannot be read: Permission denied")
        return data

    def entries(self) -> list[Entry]:
        return [Entry(name, "a", len(data or b""), 0, name) for name, data in self.files.items()]


def png(width: int, height: int) -> bytes:
    return cv2.imencode(".png", np.full((height, width, 3), 90, np.uint8))[1].tobytes()


def batches(files: Files, max_pixels: int = 1000) -> list[list[photos.Photo]]:
    with ThreadPoolExecutor(2) as pool:
        reader = PhotoReader(files, max_pixels, [WIDTH], pool)  # type: ignore[arg-type]  # reads only
        return list(reader.batches(files.entries()))


def test_faults_become_errors_and_the_hash_stays_where_bytes_were_read() -> None:
    ((good, damaged, large, unreadable),) = batches(
        Files({"1": png(10, 8), "2": b"<html>", "3": png(100, 100), "4": None})
    )
    assert (good.error, good.columns) == (None, {"photo_width": 10})
    assert [photo.error for photo in (damaged, large, unreadable)] == [
        "not an image", "too many pixels: 100x100 (limit: --max-pixels 1000)", "cannot be read: Permission denied",
    ]  # fmt: skip
    assert [len(photo.sha256 or "") for photo in (good, damaged, large, unreadable)] == [64, 64, 64, 0]
    assert damaged.decoded is None
    assert damaged.columns == {}


def test_a_batch_ends_at_its_limit_of_photos_or_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(photos.BATCH_PHOTOS, "cpu", 3)
    monkeypatch.setitem(photos.BATCH_PIXELS, "cpu", 250)
    sizes = {"1": 10, "2": 10, "3": 10, "4": 10, "5": 20, "6": 20, "7": 90}  # widths of photos 10 px high
    files = Files({name: png(width, 10) for name, width in sizes.items()})
    names = [[photo.entry.image_id for photo in batch] for batch in batches(files)]
    assert names == [["1", "2"], ["3", "4"], ["5"], ["6"], ["7"]]
    monkeypatch.setitem(photos.BATCH_PIXELS, "cpu", 10**6)
    names = [[photo.entry.image_id for photo in batch] for batch in batches(files)]
    assert names == [["1", "2", "3"], ["4", "5", "6"], ["7"]]


def test_read_ahead_is_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "READ_AHEAD_BYTES", 1)
    files = Files({str(index): png(10, 10) for index in range(9)})
    ((*batch,),) = batches(files)
    assert [photo.entry.image_id for photo in batch] == list(files.files)
