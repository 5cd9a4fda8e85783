"""The batched path of every photo: read -> decode -> detect -> align -> segment -> measure -> embed -> encode.

Reading, decoding, photo measures and encoding run in threads beside the networks. Batches follow the order of the
shard and depend on its photos alone, so that the same shard gives the same batches (and the same bytes), and memory
does not depend on the number of photos.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from curate.decode import Pixels
from curate.faces import align
from curate.faces.faces import Faces
from curate.faces.models import Models
from curate.measure.aligned import moved_to_template
from curate.measure.detection import detect_faces
from curate.measure.encoding import encode_crops, encode_label_maps
from curate.measure.inputs import FaceInputs
from curate.measure.measured import MeasuredBatch
from curate.measure.photos import Photo, PhotoReader
from curate.measure.settings import MeasureSettings
from curate.measure.sharpness import load_calibration
from curate.measure.supplied import FolderCheck
from curate.measure.table import MEASURES, Measure, measure_faces
from curate.sources import Entry, Source
from manifests.landmarks import TEMPLATES

_NO_PIXELS: Pixels = np.zeros((1, 1, 3), np.uint8)
"""Stands for a photo that could not be decoded; no face refers to it."""


class Pipeline:
    """Measures the photos of one source with one set of networks.

    Args:
        source: where the photos are read.
        models: detector, segmenter and embedder, on one device.
        settings: template and pixel limit.
        threads: threads that read, decode and encode.
        measures: entries of MEASURES, or these and others.
    """

    def __init__(
        self,
        source: Source,
        models: Models,
        settings: MeasureSettings,
        threads: int = 2,
        measures: Sequence[Measure] = MEASURES,
    ) -> None:
        self.models = models
        self.template = TEMPLATES[settings.template]
        self.aligned = settings.aligned
        self.measures = measures
        self.calibration = load_calibration()
        self.pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="decode")
        self.reader = PhotoReader(source, settings.max_pixels, measures, self.pool)

    def __call__(self, entries: Iterable[Entry]) -> Iterator[MeasuredBatch]:
        """Yield the measured batches of one shard's entries, in order; the next batch is decoded meanwhile."""
        check = FolderCheck()
        for photos in self.reader.batches(entries):
            yield from self._measure_within_memory(photos, check)

    def measure(self, photos: list[Photo], check: FolderCheck) -> MeasuredBatch:
        """Measure one batch of decoded photos. `check`: of the shard's folders, shared by its batches.

        Raises:
            torch.OutOfMemoryError: the device's memory does not hold the batch.
        """
        images = [photo.decoded.pixels if photo.decoded else _NO_PIXELS for photo in photos]
        detections = detect_faces(photos, self.models.detector, check, aligned=self.aligned)
        faces = detections.faces.alignable()
        if self.aligned:
            faces = moved_to_template(faces, images)
        if not len(faces):
            return MeasuredBatch.without_faces(photos, detections, self.models.embedder.dim)
        matrices = faces.matrices(self.template)
        crops = faces.crop(images, self.template, self.models.device)
        label_maps = self.models.segmenter.label_maps(crops)
        photo_sizes = [images[index].shape[:2] for index in faces.photo]
        inside = torch.from_numpy(align.inside_mask(matrices, self.template.size, photo_sizes))
        label_maps = label_maps * inside.to(label_maps.device)  # class 0, background, outside the photo
        inputs = FaceInputs(images, faces, self.template, matrices, crops, label_maps, self.calibration)
        columns = measure_faces(self.measures, inputs)
        embeddings = self.embed(images, faces)
        jpegs, pngs = encode_crops(crops, self.pool), encode_label_maps(label_maps, self.pool)
        return MeasuredBatch(photos, detections, faces, matrices, columns, jpegs, pngs, embeddings)

    def embed(self, photos: Sequence[Pixels], faces: Faces) -> npt.NDArray[np.float16]:
        """Embed faces of decoded photos: float16 (N, D) of unit norm."""
        return faces.embed(photos, self.models.embedder, self.models.device).cpu().numpy().astype(np.float16)

    def _measure_within_memory(self, photos: list[Photo], check: FolderCheck) -> Iterator[MeasuredBatch]:
        """Measure a batch whole or, where the GPU's memory does not hold it, in halves, down to single photos."""
        try:
            measured = self.measure(photos, check)
        except torch.OutOfMemoryError:
            if len(photos) == 1:
                raise
        else:
            yield measured
            return
        # Outside the handler: the traceback of the error holds references to the tensors.
        torch.cuda.empty_cache()
        half = len(photos) // 2
        yield from self._measure_within_memory(photos[:half], check)
        yield from self._measure_within_memory(photos[half:], check)
