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
from curate.faces.detectors.mtcnn import Detections
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
    max_faces: int = 4
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
class Faces:
    """The N faces of a batch of photos. `columns`: name -> (N,), the names of `manifests.schema.FACE_NUMBERS`."""

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
    faces: Faces


@dataclass
class Found:
    """N faces as they were found: photo (N,), box (N, 4), landmarks (N, 5, 2) in the photo, score (N,), NaN where the
    source brought the face, from_source (N,)."""

    photo: npt.NDArray[np.int64]
    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]
    from_source: npt.NDArray[np.bool_]

    @classmethod
    def none(cls) -> "Found":
        """No face yet."""
        floats = np.zeros(0, np.float32)
        return cls(np.zeros(0, np.int64), floats.reshape(0, 4), floats.reshape(0, 5, 2), floats, np.zeros(0, bool))

    def add(self, photo: int, faces: Detections, most: int) -> None:
        """Add what the detector found in one photo, at most so many."""
        self._add(photo, faces.boxes[:most], faces.landmarks[:most], faces.scores[:most], False)

    def add_given(self, photo: int, box: npt.NDArray[np.float32], landmarks: npt.NDArray[np.float32]) -> None:
        """Add the one face that the source brought."""
        self._add(photo, box[None], landmarks[None], np.full(1, np.nan, np.float32), True)

    def _add(self, photo: int, box: Array, landmarks: Array, score: Array, from_source: bool) -> None:
        self.photo = np.concatenate([self.photo, np.full(len(score), photo)])
        self.box = np.concatenate([self.box, box]).astype(np.float32)
        self.landmarks = np.concatenate([self.landmarks, landmarks]).astype(np.float32)
        self.score = np.concatenate([self.score, score]).astype(np.float32)
        self.from_source = np.concatenate([self.from_source, np.full(len(score), from_source)])

    def of(self, rows: npt.NDArray[np.bool_]) -> "Found":
        """Only these faces."""
        return Found(self.photo[rows], self.box[rows], self.landmarks[rows], self.score[rows], self.from_source[rows])


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

    def _faces(self, photos: list[Photo]) -> Faces:
        # Empty pixels stand for photos that have none; no face refers to them.
        images = [photo.decoded.pixels if photo.decoded else _NO_PIXELS for photo in photos]
        found = self._detect(photos)

        # Align: a similarity fit to the template; points that fit nothing are no face.
        matrix, _ = align.fit(found.landmarks, self.template)
        fits = np.asarray(np.isfinite(matrix).all(axis=(1, 2)))
        found, matrix = found.of(fits), matrix[fits]
        if len(found.photo) == 0:
            return self._none()
        crops = align.warp(images, found.photo, matrix, self.template.size, self.models.device)
        labels = self.models.segmenter.label_maps(crops)
        embeddings = self.embed(images, found.photo, found.landmarks)

        # Measure: pure functions of the crop, its label map and its points.
        scale = np.sqrt(np.abs(np.linalg.det(matrix[:, :, :2])))
        points = torch.from_numpy(align.transform_points(found.landmarks, matrix).astype(np.float32)).to(crops.device)
        small, small_labels, small_points = _at_224(crops, labels, points)
        upscale = torch.from_numpy((scale * 224 / self.template.size[1]).astype(np.float32)).to(crops.device)
        sides = np.array([images[index].shape[:2] for index in found.photo])
        eyes = found.landmarks[:, 1] - found.landmarks[:, 0]
        columns: dict[str, Array] = {
            "detection_score": found.score,
            "landmark_source": np.where(found.from_source, "source", "detector"),
            **{name: found.box[:, k] for k, name in enumerate(("box_x0", "box_y0", "box_x1", "box_y1"))},
            "eye_distance": np.hypot(eyes[:, 0], eyes[:, 1]),
            "upscale": scale,
            "inside": align.inside_fraction(matrix, self.template.size, sides),
            "face_share": binary_mask(labels, "face").float().mean((1, 2)).cpu().numpy(),
        }
        source_points = torch.from_numpy(found.landmarks)
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
        return Faces(
            found.photo, found.box, found.landmarks, matrix, columns, jpegs, pngs, embeddings.astype(np.float16)
        )  # fmt: skip

    def embed(
        self, images: list[Pixels], which: npt.NDArray[np.int64], landmarks: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Faces of decoded photos -> unit vectors (N, D), each aligned to the embedder's own template."""
        embedder = self.models.embedder
        matrix, _ = align.fit(landmarks, embedder.template)
        chips = align.warp(images, which, matrix, embedder.template.size, self.models.device)
        vectors: npt.NDArray[np.float32] = embedder.embed(chips).float().cpu().numpy()
        return vectors

    def _detect(self, photos: list[Photo]) -> "Found":
        """The source's own landmarks where it brings them, the detector's faces elsewhere, in the order of photos."""
        searched = [index for index, photo in enumerate(photos) if photo.decoded and not self._given(photo)]
        images = [photo.decoded.pixels for photo in (photos[i] for i in searched) if photo.decoded]
        faces = dict(zip(searched, self.models.detector(images), strict=True)) if images else {}
        found = Found.none()
        for index, photo in enumerate(photos):
            if index in faces:
                found.add(index, faces[index], self.settings.max_faces)
            elif photo.entry.landmarks is not None and photo.decoded:
                points = np.array(photo.entry.landmarks, np.float32).reshape(5, 2)
                found.add_given(index, np.array(photo.entry.box or _box_around(points), np.float32), points)
        return found

    def _given(self, photo: Photo) -> bool:
        """Whether the source's own landmarks stand for detection: not on a photo that EXIF turns, they do not turn."""
        usable = photo.decoded is not None and photo.decoded.orientation == 1
        return self.settings.source_landmarks and usable and photo.entry.landmarks is not None

    def _jpegs(self, crops: torch.Tensor) -> list[bytes]:
        images = crops.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return list(self.pool.map(_jpeg, images))

    def _pngs(self, labels: torch.Tensor) -> list[bytes]:
        return list(self.pool.map(_png, labels.cpu().numpy()))

    def _none(self) -> Faces:
        return Faces(
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
    return small.round().clamp(0, 255).byte(), nearest.byte(), (points + 0.5) * scale - 0.5


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(image, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
    return encoded


def _png(labels: npt.NDArray[np.uint8]) -> bytes:
    ok, encoded = cv2.imencode(".png", labels)
    assert ok
    return encoded.tobytes()


def _box_around(points: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Five points -> a detector-like face box: their hull, widened to brow, chin and cheeks."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    width, height = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    return float(x0 - 0.5 * width), float(y0 - 0.7 * height), float(x1 + 0.5 * width), float(y1 + 0.6 * height)
