"""Photos in, measured faces out: the batched path that every photo takes, once.

read -> decode -> detect -> align -> segment -> measure -> embed -> encode

Reading, decoding and encoding run in threads beside the networks. Batches hold up to `BATCH_PHOTOS` photos or
`BATCH_PIXELS` pixels, whichever comes first, in the order of the shard, so that the same shard always makes the same
batches (and the same bytes) and memory does not depend on how many photos there are.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
import torch

from curate.decode import Decoded, decode
from curate.errors import DecodeError
from curate.faces import align
from curate.faces.faces import Faces
from curate.faces.models import Models
from curate.faces.segment import binary_mask
from curate.measure import distortion, exposure, hashes, pose, sharpness
from curate.sources import Entry, Source
from manifests.landmarks import TEMPLATES

BATCH_PHOTOS = 32
BATCH_PIXELS = 24_000_000
READ_AHEAD_BYTES = 64_000_000
JPEG_QUALITY = 95

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

_NO_PIXELS: Pixels = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Settings:
    """What a measurement depends on besides the photo and the networks; any change measures again."""

    template: str = "simswap-224"
    max_pixels: int = 50_000_000
    source_landmarks: bool = True
    revision: int = 1
    """Grows when the code measures differently."""


@dataclass(frozen=True)
class Photo:
    """One file of the source: its pixels, or why it has none."""

    entry: Entry
    sha256: str | None
    decoded: Decoded | None
    thumbnail: npt.NDArray[np.uint8] | None
    distortion: dict[str, float]
    error: str | None


@dataclass
class MeasuredFaces:
    """The N measured faces of a batch. `columns`: name -> (N,), the names of `manifests.schema.FACE_NUMBERS`."""

    photo: npt.NDArray[np.int64]
    box: npt.NDArray[np.float32]  # (N, 4)
    landmarks: npt.NDArray[np.float32]  # (N, 5, 2), in the photo
    matrix: npt.NDArray[np.float64]  # (N, 2, 3), photo -> crop
    columns: dict[str, Array]
    crops: list[bytes]
    masks: list[bytes]
    embeddings: npt.NDArray[np.float16]  # (N, D)


@dataclass(frozen=True)
class Measured:
    """A batch: every photo, and the faces found in them."""

    photos: list[Photo]
    phash: npt.NDArray[np.uint64]  # (P,), 0 where the photo has no pixels
    phash_mirror: npt.NDArray[np.uint64]
    faces: MeasuredFaces


class Pipeline:
    """Measures the photos of one source with one set of networks."""

    def __init__(self, source: Source, models: Models, settings: Settings, threads: int = 2) -> None:
        self.source = source
        self.models = models
        self.settings = settings
        self.template = TEMPLATES[settings.template]
        self.calibration = sharpness.load_calibration()
        self.pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="decode")

    def __call__(self, entries: Iterable[Entry]) -> Iterator[Measured]:
        """Entries of one shard, in order -> measured batches, in order. The next batch is decoded meanwhile."""
        for photos in self.batches(entries):
            yield from self._within_memory(photos)

    def _within_memory(self, photos: list[Photo]) -> Iterator[Measured]:
        """A batch measured whole or, where the GPU's memory does not hold it, in halves, down to single photos."""
        try:
            measured = self._measure(photos)
        except torch.OutOfMemoryError:
            if len(photos) == 1:
                raise
        else:
            yield measured
            return
        # Not in the handler: the error's traceback would hold on to the tensors.
        torch.cuda.empty_cache()
        half = len(photos) // 2
        yield from self._within_memory(photos[:half])
        yield from self._within_memory(photos[half:])

    def batches(self, entries: Iterable[Entry]) -> Iterator[list[Photo]]:
        batch: list[Photo] = []
        pixels = 0
        for photo in self._read_ahead(iter(entries)):
            size = photo.decoded.width * photo.decoded.height if photo.decoded else 0
            if batch and (len(batch) == BATCH_PHOTOS or pixels + size > BATCH_PIXELS):
                yield batch
                batch, pixels = [], 0
            batch.append(photo)
            pixels += size
        if batch:
            yield batch

    def _read_ahead(self, entries: Iterator[Entry]) -> Iterator[Photo]:
        """Photos in order, up to a batch of them read and decoded in advance, fewer where the files are large."""
        ahead: deque[tuple[int, Future[Photo]]] = deque()
        pending = 0
        for entry in entries:
            ahead.append((entry.size, self.pool.submit(self.read, entry)))
            pending += entry.size
            while len(ahead) > BATCH_PHOTOS or (pending > READ_AHEAD_BYTES and len(ahead) > 1):
                size, photo = ahead.popleft()
                pending -= size
                yield photo.result()
        yield from (photo.result() for _, photo in ahead)

    def read(self, entry: Entry) -> Photo:
        """One entry -> its photo, hashed and decoded; whatever is wrong with the file becomes `error`."""
        data: bytes | None = None
        try:
            data = self.source.read(entry)
            decoded = decode(data, max_pixels=self.settings.max_pixels)
        except DecodeError as error:
            sha256 = hashlib.sha256(data).hexdigest() if data is not None else None
            return Photo(entry, sha256, None, None, {}, str(error))
        pixels = decoded.pixels
        sha256 = hashlib.sha256(data).hexdigest()
        return Photo(entry, sha256, decoded, hashes.thumbnail(pixels), distortion.photo_distortion(pixels), None)

    def _measure(self, photos: list[Photo]) -> Measured:
        phash = np.zeros(len(photos), np.uint64)
        mirror = np.zeros(len(photos), np.uint64)
        hashed = [index for index, photo in enumerate(photos) if photo.thumbnail is not None]
        if hashed:
            thumbnails = np.stack([photo.thumbnail for photo in photos if photo.thumbnail is not None])
            found = hashes.thumbnail_hashes(thumbnails, self.models.device)
            phash[hashed], mirror[hashed] = found["phash"].cpu().numpy(), found["phash_mirror"].cpu().numpy()
        return Measured(photos, phash, mirror, self._faces(photos))

    def _faces(self, photos: list[Photo]) -> MeasuredFaces:
        # Empty pixels stand for photos that have none; no face refers to them.
        images = [photo.decoded.pixels if photo.decoded else _NO_PIXELS for photo in photos]
        faces = self._detect(photos).alignable()
        if len(faces) == 0:
            return self._none()
        matrix = faces.matrices(self.template)
        crops = faces.crop(images, self.template, self.models.device)
        labels = self.models.segmenter.label_maps(crops)
        embeddings = self.embed(images, faces)

        # Measure: pure functions of the crop, its label map and its points.
        scale = np.sqrt(np.abs(np.linalg.det(matrix[:, :, :2])))
        points = torch.from_numpy(align.transform_points(faces.landmarks, matrix).astype(np.float32)).to(crops.device)
        small, small_labels, small_points = _at_224(crops, labels, points)
        upscale = torch.from_numpy((scale * 224 / self.template.size[1]).astype(np.float32)).to(crops.device)
        sides = np.array([images[index].shape[:2] for index in faces.photo])
        eyes = faces.landmarks[:, 1] - faces.landmarks[:, 0]
        columns: dict[str, Array] = {
            "detection_score": faces.score,
            "landmark_source": np.where(np.isnan(faces.score), "source", "detector"),
            **{name: faces.box[:, k] for k, name in enumerate(("box_x0", "box_y0", "box_x1", "box_y1"))},
            "eye_distance": np.hypot(eyes[:, 0], eyes[:, 1]),
            "upscale": scale,
            "inside": align.inside_fraction(matrix, self.template.size, sides),
            "face_share": binary_mask(labels, "face").float().mean((1, 2)).cpu().numpy(),
        }
        source_points = torch.from_numpy(faces.landmarks)
        for measured in (
            sharpness.sharpness(small, small_labels, small_points, upscale, self.calibration),
            exposure.exposure(small, small_labels, small_points),
            distortion.flat_fraction(small, small_points),
            distortion.stretch(source_points),
            pose.pose(source_points),
            hashes.face_hash(small),
        ):
            columns |= {name: value.cpu().numpy() for name, value in measured.items()}

        jpegs, pngs = self._jpegs(crops), self._pngs(labels)
        return MeasuredFaces(
            faces.photo, faces.box, faces.landmarks, matrix, columns, jpegs, pngs, embeddings.astype(np.float16)
        )  # fmt: skip

    def embed(self, images: list[Pixels], faces: Faces) -> npt.NDArray[np.float32]:
        """Embed the faces of decoded photos: float32 (N, D) of unit norm."""
        vectors: npt.NDArray[np.float32] = faces.embed(images, self.models.embedder, self.models.device).cpu().numpy()
        return vectors

    def _detect(self, photos: list[Photo]) -> Faces:
        """The faces that the source supplies, the detector's faces on all other photos, in the order of the photos."""
        searched: list[int] = []
        images: list[Pixels] = []
        parts: list[Faces] = []
        for index, photo in enumerate(photos):
            if photo.decoded is None:
                continue
            if self._given(photo):
                parts.append(_supplied_face(photo.entry).with_photos([index]))
            else:
                searched.append(index)
                images.append(photo.decoded.pixels)
        if images:
            parts.append(self.models.detector(images).with_photos(searched))
        faces = Faces.concat(parts)
        return faces.take(np.argsort(faces.photo, kind="stable"))

    def _given(self, photo: Photo) -> bool:
        """Whether the source's own landmarks stand for detection: not on a photo that EXIF turns, they do not turn."""
        usable = photo.decoded is not None and photo.decoded.orientation == 1
        return self.settings.source_landmarks and usable and photo.entry.landmarks is not None

    def _jpegs(self, crops: torch.Tensor) -> list[bytes]:
        images = crops.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return list(self.pool.map(_jpeg, images))

    def _pngs(self, labels: torch.Tensor) -> list[bytes]:
        return list(self.pool.map(_png, labels.cpu().numpy()))

    def _none(self) -> MeasuredFaces:
        return MeasuredFaces(
            np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32),
            np.zeros((0, 2, 3)), {}, [], [], np.zeros((0, self.models.embedder.dim), np.float16),
        )  # fmt: skip


def _at_224(
    crops: torch.Tensor, labels: torch.Tensor, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops, label maps and points at the one size at which faces are measured, so that scores compare."""
    size = crops.shape[-1]
    if size == 224:
        return crops, labels, points
    small = torch.nn.functional.interpolate(crops.float(), (224, 224), mode="bilinear", antialias=True)
    nearest = torch.nn.functional.interpolate(labels[:, None].float(), (224, 224), mode="nearest-exact")[:, 0]
    scale = 224 / size
    return small.round().clamp(0, 255).byte(), nearest.byte(), align.rescale_points(points, scale)


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(image, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
    return encoded


def _png(labels: npt.NDArray[np.uint8]) -> bytes:
    ok, encoded = cv2.imencode(".png", labels)
    assert ok
    return encoded.tobytes()


def _supplied_face(entry: Entry) -> Faces:
    """The one face of a photo whose landmarks the source supplies; its score is NaN."""
    points = np.array(entry.landmarks, np.float32).reshape(5, 2)
    box = np.array(entry.box or _box_around(points), np.float32)
    return Faces(np.zeros(1, np.int64), box[None], points[None], np.full(1, np.nan, np.float32))


def _box_around(points: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Five points -> a detector-like face box: their hull, widened to brow, chin and cheeks."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    width, height = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    return float(x0 - 0.5 * width), float(y0 - 0.7 * height), float(x1 + 0.5 * width), float(y1 + 0.6 * height)
