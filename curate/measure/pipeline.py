"""The batched path of every photo: read -> decode -> detect -> align -> segment -> measure -> embed -> encode.

The calling thread runs the networks. All other work is done by the threads of a pool, on other batches meanwhile:
reading, decoding and photo measures of the next ones, aligning of one, face measures and encoding of the one before.
Batches follow the order of the shard and depend on its photos alone, so that the same shard gives the same batches
(and the same bytes), and memory does not depend on the number of photos.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.decode import Pixels
from curate.faces import align
from curate.faces.faces import Faces
from curate.faces.models import Models
from curate.measure.aligned import moved_to_template
from curate.measure.detection import Detections, detect_faces
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

_MAX_IN_FLIGHT = 8
"""Batches that wait for their crops, and as many for their measures, at most; half as many as there are threads."""


@dataclass(frozen=True)
class _Aligned:
    """A batch with its faces aligned.

    Attributes:
        photos: P photos.
        detections: of the photos.
        faces: the N alignable ones.
        matrices: float64 (N, 2, 3), photo -> crop.
        crops: uint8 (N, 3, S, S), on the CPU.
        embedder_crops: uint8 (N, 3, h, w), aligned for the embedder, on the CPU.
        cut: int64 (C,), the faces whose crops reach beyond their photo.
        inside: bool (C, S, S), pixels of these crops that lie inside it.
    """

    photos: list[Photo]
    detections: Detections
    faces: Faces
    matrices: npt.NDArray[np.float64]
    crops: Tensor
    embedder_crops: Tensor
    cut: npt.NDArray[np.int64]
    inside: Tensor

    def halves(self) -> list["_Aligned"]:
        """Split the batch between two photos."""
        half = len(self.photos) // 2
        return [self._part(0, half), self._part(half, len(self.photos))]

    def _part(self, first: int, end: int) -> "_Aligned":
        rows = np.flatnonzero((self.faces.photo >= first) & (self.faces.photo < end))
        is_in_part = np.isin(self.cut, rows)
        return _Aligned(
            self.photos[first:end],
            self.detections.part(first, end),
            _moved(self.faces.take(rows), first),
            self.matrices[rows],
            self.crops[rows],
            self.embedder_crops[rows],
            np.searchsorted(rows, self.cut[is_in_part]),
            self.inside[is_in_part],
        )


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
        self.in_flight = max(1, min(_MAX_IN_FLIGHT, threads // 2))
        self.pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="decode")
        self.reader = PhotoReader(source, settings.max_pixels, measures, self.pool, models.device.type)

    def __call__(self, entries: Iterable[Entry]) -> Iterator[MeasuredBatch]:
        """Yield the measured batches of one shard's entries, in order."""
        check = FolderCheck()
        aligned: deque[Future[_Aligned]] = deque()
        measured: deque[tuple[_Aligned, Future[MeasuredBatch]]] = deque()
        for photos in self.reader.batches(entries):
            aligned += self._detect(photos, check)
            while len(aligned) > self.in_flight:
                measured += self._run_networks(aligned.popleft().result())
            while len(measured) > self.in_flight:
                yield from self._finished(*measured.popleft())
        while aligned or measured:
            if aligned:
                measured += self._run_networks(aligned.popleft().result())
            yield from self._finished(*measured.popleft())

    def embed(self, photos: Sequence[Pixels], faces: Faces) -> npt.NDArray[np.float16]:
        """Embed faces of decoded photos: float16 (N, D) of unit norm."""
        return self._embed(faces.crop(photos, self.models.embedder.template, "cpu"))

    def _detect(self, photos: list[Photo], check: FolderCheck) -> list[Future[_Aligned]]:
        """Detect the faces of a batch and begin to align them; a batch beyond the GPU's memory in halves."""
        try:
            detections = detect_faces(photos, self.models.detector, check, aligned=self.aligned)
        except torch.OutOfMemoryError:
            if len(photos) == 1:
                raise
        else:
            return [self.pool.submit(self._align, photos, detections)]
        # Outside the handler: the traceback of the error holds references to the tensors.
        torch.cuda.empty_cache()
        half = len(photos) // 2
        return [*self._detect(photos[:half], check), *self._detect(photos[half:], check)]

    def _align(self, photos: list[Photo], detections: Detections) -> _Aligned:
        images = _images(photos)
        faces = detections.faces.alignable()
        if self.aligned:
            faces = moved_to_template(faces, images)
        matrices = faces.matrices(self.template)
        photo_sizes = np.array([images[index].shape[:2] for index in faces.photo]).reshape(-1, 2)
        cut = np.flatnonzero(align.is_cut(matrices, self.template.size, photo_sizes))
        return _Aligned(
            photos,
            detections,
            faces,
            matrices,
            faces.crop(images, self.template),
            faces.crop(images, self.models.embedder.template),
            cut,
            torch.from_numpy(align.inside_mask(matrices[cut], self.template.size, photo_sizes[cut])),
        )

    def _run_networks(self, batch: _Aligned) -> list[tuple[_Aligned, Future[MeasuredBatch]]]:
        """Segment and embed a batch, and begin to measure it; a batch beyond the GPU's memory in halves."""
        if not len(batch.faces):
            nothing: Future[MeasuredBatch] = Future()
            nothing.set_result(MeasuredBatch.without_faces(batch.photos, batch.detections, self.models.embedder.dim))
            return [(batch, nothing)]
        try:
            crops = batch.crops.to(self.models.device, non_blocking=True)
            label_maps = self.models.segmenter.label_maps(crops)
            if len(batch.cut):  # class 0, background, outside the photo
                with torch.inference_mode():  # as the segmenter made them: they are changed in place
                    label_maps[torch.from_numpy(batch.cut)] *= batch.inside.to(label_maps.device)
            embeddings = self._embed(batch.embedder_crops)
        except torch.OutOfMemoryError:
            if len(batch.photos) == 1:
                raise
        else:
            return [(batch, self.pool.submit(self._measure, batch, crops, label_maps, embeddings))]
        return self._in_halves(batch)

    def _measure(
        self, batch: _Aligned, crops: Tensor, label_maps: Tensor, embeddings: npt.NDArray[np.float16]
    ) -> MeasuredBatch:
        images, faces, matrices = _images(batch.photos), batch.faces, batch.matrices
        inputs = FaceInputs(images, faces, self.template, matrices, crops, label_maps, self.calibration)
        columns = measure_faces(self.measures, inputs)
        jpegs, pngs = encode_crops(batch.crops), encode_label_maps(label_maps)
        return MeasuredBatch(batch.photos, batch.detections, faces, matrices, columns, jpegs, pngs, embeddings)

    def _finished(self, batch: _Aligned, measured: Future[MeasuredBatch]) -> Iterator[MeasuredBatch]:
        """Yield a measured batch or, where the GPU's memory did not hold its measures, that of its halves."""
        try:
            result = measured.result()
        except torch.OutOfMemoryError:
            if len(batch.photos) == 1:
                raise
        else:
            yield result
            return
        for part in self._in_halves(batch):
            yield from self._finished(*part)

    def _in_halves(self, batch: _Aligned) -> list[tuple[_Aligned, Future[MeasuredBatch]]]:
        torch.cuda.empty_cache()
        return [part for half in batch.halves() for part in self._run_networks(half)]

    def _embed(self, crops: Tensor) -> npt.NDArray[np.float16]:
        return self.models.embedder.embed(crops).cpu().numpy().astype(np.float16)


def _images(photos: Sequence[Photo]) -> list[Pixels]:
    return [photo.decoded.pixels if photo.decoded else _NO_PIXELS for photo in photos]


def _moved(faces: Faces, first: int) -> Faces:
    """Faces of photos from `first` on -> the same with photos counted from 0."""
    return Faces(faces.photo - first, faces.box, faces.landmarks, faces.score)
