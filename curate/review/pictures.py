"""The pictures of the page: aligned crops by their offsets, and photos of the source, scaled down."""

import threading

from curate.review.index import NONE, PhotoIndex
from curate.source_photos import SourcePhotos
from manifests.errors import DatasetError
from manifests.reader import Dataset

THUMBNAIL_SIDE, PHOTO_SIDE = 224, 1600
"""px, longer side of a photo in a grid, where it has no face, and of a photo that is looked at."""


class Pictures:
    """Reads pictures by row. Safe in threads."""

    def __init__(self, dataset: Dataset, index: PhotoIndex) -> None:
        self._dataset, self._index = dataset, index
        self._photos = SourcePhotos(dataset.info)
        self._lock = threading.Lock()

    def crop(self, row: int) -> bytes | None:
        """Return the aligned face of a photo as a JPEG; where it has none, the photo. None without a picture."""
        shard = self._index.shard[row]
        if shard == NONE:
            return self.source(row, THUMBNAIL_SIDE)
        try:
            offset, length, crc = self._index.crop[row].tolist()
            return self._dataset.pixels.read(self._index.shards[shard], offset, length, crc)
        except DatasetError:
            return None  # a damaged shard: `curate verify` names it

    def source(self, row: int, side: int = PHOTO_SIDE) -> bytes | None:
        """Return a photo of the source as a JPEG, the longer side at most `side` px; None where it is not there."""
        image_id = self._index.image_id[row].as_py()
        # The source lists photos by the identity that it gives them, not by the one that a person did.
        identity = self._index.names.names[self._index.source[row]]
        with self._lock:
            return self._photos.jpeg(image_id, identity, side)
