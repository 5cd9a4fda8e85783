"""The picture files of a report: aligned crops, or thumbnails of photos without a face."""

from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from curate.decode import MAX_PIXELS, decode
from curate.errors import DecodeError, SourceError
from curate.sources import Source, open_source
from manifests.reader import Dataset, decode_crop

THUMBNAIL_SIDE = 224
"""px, longer side of a photo without a face."""


class PictureFolder:
    """Writes the pictures of manifest rows into `folder`, each photo once.

    side: longer side of the pictures, px; None keeps the stored crops.
    """

    def __init__(self, dataset: Dataset, folder: Path, side: int | None = None) -> None:
        self.dataset = dataset
        self.folder = folder
        self.side = side
        self._names: dict[str, str] = {}

    def add(self, row: dict[str, Any]) -> str | None:
        """Write the picture of a row of the manifest (image_id, identity, error, shard, crop_offset, _length, _crc).

        Returns the file's name in the folder; None where the photo has no crop and cannot be read any more.
        """
        image_id = row["image_id"]
        if image_id not in self._names:
            data = self._crop(row) if row["shard"] else self._thumbnail(row)
            if data is None:
                return None
            name = f"{len(self._names):05d}.jpg"
            (self.folder / name).write_bytes(data)
            self._names[image_id] = name
        return self._names[image_id]

    def _crop(self, row: dict[str, Any]) -> bytes:
        data = self.dataset.pixels.crop(row)
        return data if self.side is None else _reduced(decode_crop(data), self.side)

    def _thumbnail(self, row: dict[str, Any]) -> bytes | None:
        if self._source is None or row["error"]:
            return None
        for entry in self._source.entries(row["source_identity"]):
            if entry.image_id == row["image_id"]:
                try:
                    limit = self.dataset.info.settings.max_pixels or MAX_PIXELS
                    pixels = decode(self._source.read(entry), max_pixels=limit, shrink=True).pixels
                except DecodeError:
                    return None
                return _reduced(pixels, self.side or THUMBNAIL_SIDE)
        return None

    @cached_property
    def _source(self) -> Source | None:
        """The source of the photos; None where it is missing, for instance on another machine."""
        record = self.dataset.info.source
        if record.root is None:
            return None
        try:
            return open_source(record.kind, Path(record.root), record.identities)
        except SourceError:
            return None


def _reduced(pixels: npt.NDArray[np.uint8], side: int) -> bytes:
    """JPEG of an image RGB (H, W, 3) whose longer side is `side` px."""
    scale = side / max(pixels.shape[:2])
    size = [max(1, round(length * scale)) for length in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[..., ::-1])[1].tobytes()
