"""The picture files of a report: aligned crops, or thumbnails of photos without a face."""

from pathlib import Path
from typing import Any

from curate.source_photos import SourcePhotos, reduced_jpeg
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
        self._photos = SourcePhotos(dataset.info)
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
        return data if self.side is None else reduced_jpeg(decode_crop(data), self.side)

    def _thumbnail(self, row: dict[str, Any]) -> bytes | None:
        if row["error"]:
            return None
        return self._photos.jpeg(row["image_id"], row["source_identity"], self.side or THUMBNAIL_SIDE)
