"""Crops and masks of training faces, read from the shards at the size of the generator."""

from collections.abc import Iterator

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg

from curate.faces.align import rescale_matrices
from curate.faces.segment import box_mask
from manifests.errors import DatasetError
from manifests.reader import PixelReader
from train.data.faces import Indices, TrainingFaces

Pixels = npt.NDArray[np.uint8]


class CropReader:
    """Reads B faces at a time, `size` px square; safe to use from several threads.

    Every method raises DatasetError: a shard is missing, or an image in it is damaged.
    """

    def __init__(self, faces: TrainingFaces, size: int) -> None:
        self.faces, self.size = faces, size
        self._reader = PixelReader(faces.root)

    def crops(self, indices: Indices) -> Pixels:
        """Return the crops, RGB uint8 (B, size, size, 3)."""
        crops = np.empty((len(indices), self.size, self.size, 3), np.uint8)
        shape = (self.size, self.size)
        faces = self.faces
        for row, data in self._encoded(indices, faces.crop_offset, faces.crop_length, faces.crop_crc):
            try:
                crop = simplejpeg.decode_jpeg(data, "RGB", min_height=self.size, min_width=self.size)
            except ValueError as error:
                raise self._damaged(indices[row], "crop", error) from error
            # INTER_AREA keeps the pixel grid: corner to corner, each pixel the average of the area that it covers.
            crops[row] = crop if crop.shape[:2] == shape else cv2.resize(crop, shape, interpolation=cv2.INTER_AREA)
        return crops

    def label_maps(self, indices: Indices) -> Pixels:
        """Return the label maps, uint8 (B, size, size), by the nearest label where the size differs."""
        maps = np.empty((len(indices), self.size, self.size), np.uint8)
        faces = self.faces
        for row, data in self._encoded(indices, faces.mask_offset, faces.mask_length, faces.mask_crc):
            try:
                labels = imagecodecs.png_decode(data)
            except imagecodecs.PngError as error:
                raise self._damaged(indices[row], "mask", error) from error
            nearest = np.floor((np.arange(self.size) + 0.5) * (len(labels) / self.size)).astype(np.intp)
            maps[row] = labels if len(labels) == self.size else labels[np.ix_(nearest, nearest)]
        return maps

    def box_masks(self, indices: Indices) -> Pixels:
        """Return the face boxes as masks, uint8 (B, size, size) of 0 and 1."""
        matrices = rescale_matrices(self.faces.matrix[indices], self.size / self.faces.side)
        return box_mask(self.faces.box[indices], matrices, self.size).astype(np.uint8)

    def _encoded(
        self, indices: Indices, offsets: Indices, lengths: Indices, crcs: Indices
    ) -> Iterator[tuple[int, bytes]]:
        """Yield (row in the batch, encoded image), shard by shard."""
        shards = self.faces.shard[indices]
        for shard in np.unique(shards):
            rows = np.flatnonzero(shards == shard)
            places = (values[indices[rows]] for values in (offsets, lengths, crcs))
            data = self._reader.many(self.faces.shards[shard], *places)
            yield from zip(rows.tolist(), data, strict=True)

    def _damaged(self, index: np.int64, kind: str, error: Exception) -> DatasetError:
        shard = self.faces.root / self.faces.shards[self.faces.shard[index]]
        return DatasetError(
            f"{shard}: the {kind} of {self.faces.face_id[index]} is damaged ({error}): remove the shard and run "
            "`curate measure` again"
        )
