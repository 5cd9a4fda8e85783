"""Pixel comparison of two faces: whether their aligned crops come from the same picture.

Hashes and embeddings are also close for two photos of one person in one pose. Registered onto each other, the crops of
copies agree in every detail of the face and of its surroundings; those of other photos do not.

Text or a logo over a photo moves the landmarks and misleads the registration. Where two photos have one framing, their
sizes and the places of the crops give the map between these exactly. The photos are then compared without the pixels
that differ: elsewhere a copy that is drawn over agrees almost perfectly.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.relate.detail_band import DetailBand, bands_agree
from curate.relate.photo_frame import PhotoFrame, face_matrices
from curate.threads import usable_cores
from manifests.reader import Dataset, decode_crop

Gray = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

SIDE = 112
THREADS = usable_cores()
MAX_CACHED = 4096
"""Prepared faces that are kept: 75 KB each. Pairs come in the order of the dataset, so that most faces follow soon."""

MIN_FACE_AGREEMENT, MIN_SURROUNDINGS_AGREEMENT = 0.90, 0.75
"""Agreement of detail inside the oval of the face, and outside, from which two crops show one picture."""

MAX_ENLARGEMENT, MIN_SMALL_FACE_AGREEMENT = 1.1, 0.94
"""Px of a crop of SIDE px per px of its photo, in both, beyond which the face must agree by more: the fine detail by
which frames of one scene differ is missing. In 64 px thumbnails such frames have up to .93, copies .98 and more."""

NOISE = 2.5
"""Standard deviation of detail, in grey levels, that coding and sensor noise alone explain."""


@dataclass(frozen=True)
class _Level:
    """One scale of the registration: side of the crops and blur in px, and the correlation below which it stops."""

    side: int
    iterations: int
    blur: int
    min_correlation: float


_LEVELS = (_Level(28, 15, 3, 0.75), _Level(56, 15, 5, 0.91), _Level(112, 20, 5, 0.0))
"""Coarse to fine. The lowest correlations of 150 copies in celebs-112 were .79, .92 and .90; most other pairs stop
before the last level."""

_DRAWN_DIFFERENCE, _DRAWN_MARGIN = 14.0, 5
"""Difference in grey levels from which a pixel counts as drawn over, and the side of the square around it, px."""

MAX_DRAWN, MIN_REST_AGREEMENT = 0.35, 0.97
"""Share of the pixels that may be drawn over, and agreement of the rest, inside the oval of the face and outside."""

_MAX_BLACK = 6
_MIN_PIXELS = 500
_FRAME = 3
_Y, _X = np.mgrid[:SIDE, :SIDE]
_OVAL = ((_X - 56) / 38) ** 2 + ((_Y - 58) / 48) ** 2 < 1


@dataclass(frozen=True)
class _Face:
    """A crop prepared for comparison.

    Attributes:
        gray: float32 (SIDE, SIDE), luma.
        valid: uint8 (SIDE, SIDE), see `_valid`.
        band: its detail at a coarse scale.
        enlarged: whether its photo has so few pixels that fine detail is missing.
        frame: where the crop lies in its photo, in px of `gray`; None where it is unknown.
    """

    gray: Gray
    valid: npt.NDArray[np.uint8]
    band: DetailBand
    enlarged: bool = False
    frame: PhotoFrame | None = None

    @classmethod
    def of(cls, crop: npt.NDArray[np.uint8], frame: PhotoFrame | None = None) -> "_Face":
        """Prepare a crop, uint8 (S, S, 3) RGB. `frame`: in px of the crop."""
        gray = _gray(crop)
        valid = _valid(gray)
        frame = frame and frame.shrunk(crop.shape[0] / SIDE)
        enlarged = frame is not None and frame.scale > MAX_ENLARGEMENT
        return cls(gray, valid, DetailBand.of(gray, valid), enlarged, frame)

    def mirrored(self) -> "_Face":
        """Return the face of the mirrored crop."""
        gray, valid = np.ascontiguousarray(self.gray[:, ::-1]), np.ascontiguousarray(self.valid[:, ::-1])
        return _Face(gray, valid, self.band.mirrored(), self.enlarged)


@dataclass(frozen=True)
class _Place:
    """Where the crop of a face is stored, and where it lies in its photo."""

    shard: str
    offset: int
    length: int
    checksum: int
    frame: PhotoFrame


class PixelCheck:
    """Compares crops of one dataset by face_id; a `duplicates.Confirm`. About 2 ms per pair, in one thread per core."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __call__(self, first: Sequence[str], second: Sequence[str]) -> Flags:
        """Return (P,) flags of the pairs of face_ids whose crops show the same picture."""
        places = self._crop_places(sorted({*first, *second}))

        @lru_cache(MAX_CACHED)
        def face(face_id: str) -> _Face:
            place = places[face_id]
            data = self._dataset.pixels.read(place.shard, place.offset, place.length, place.checksum)
            return _Face.of(decode_crop(data), place.frame)

        def same(pair: tuple[str, str]) -> bool:
            return _is_same(*map(face, pair))

        with ThreadPoolExecutor(THREADS) as pool:
            return np.array(list(pool.map(same, zip(first, second, strict=True))), bool)

    def _crop_places(self, face_ids: list[str]) -> dict[str, _Place]:
        requested = pa.array(face_ids, pa.string())
        columns = ["face_id", "shard", "crop_offset", "crop_length", "crop_crc", "width", "height"]
        places: dict[str, _Place] = {}
        for bucket in range(self._dataset.buckets):
            rows = self._dataset.measures(bucket, columns)
            rows = rows.filter(pc.is_in(rows["face_id"], requested))
            if not rows.num_rows:
                continue
            matrices = face_matrices(self._dataset, bucket, rows["face_id"])
            for row, matrix in zip(rows.to_pylist(), matrices, strict=True):
                frame = PhotoFrame.of(matrix, row["width"], row["height"])
                places[row["face_id"]] = _Place(
                    row["shard"], row["crop_offset"], row["crop_length"], row["crop_crc"], frame
                )
        return places


def is_same_picture(
    first: npt.NDArray[np.uint8],
    second: npt.NDArray[np.uint8],
    *,
    frames: tuple[PhotoFrame | None, PhotoFrame | None] = (None, None),
) -> bool:
    """Whether two aligned crops uint8 (S, S, 3) RGB come from one picture, mirrored or not.

    `frames`: where the crops lie in their photos; without them, copies that are drawn over are found less often.
    """
    return _is_same(_Face.of(first, frames[0]), _Face.of(second, frames[1]))


def _is_same(first: _Face, second: _Face) -> bool:
    return (
        _agrees_in_frame(first, second, mirrored=False)
        or _agrees_in_frame(first, second, mirrored=True)
        or _agrees(first, second)
        or _agrees(first, second.mirrored())
    )


def _agrees_in_frame(first: _Face, second: _Face, mirrored: bool) -> bool:
    """Whether photos of equal framing agree in all pixels but those that are drawn over in one of them."""
    if first.frame is None or second.frame is None:
        return False
    matrix = first.frame.to_crop_of(second.frame, mirrored)
    if matrix is None:
        return False
    warped, both = _warped(second, matrix, first)
    difference = cv2.GaussianBlur(cv2.subtract(warped, first.gray), (0, 0), 0.7)
    drawn = (np.abs(difference) > _DRAWN_DIFFERENCE) & both
    max_drawn = MAX_DRAWN * np.count_nonzero(both)
    if np.count_nonzero(drawn) > max_drawn:  # the margins only add to these
        return False
    drawn = cv2.dilate(drawn.astype(np.uint8), np.ones((_DRAWN_MARGIN, _DRAWN_MARGIN), np.uint8)) > 0
    if np.count_nonzero(drawn & both) > max_drawn:
        return False
    return min(_agreement_within(first.gray, warped, both & ~drawn)) >= MIN_REST_AGREEMENT


def _agrees(first: _Face, second: _Face) -> bool:
    if not bands_agree(first.band, second.band):
        return False
    face, surroundings = _agreement(first, second)
    if face < 0 and first.frame and second.frame and first.frame.size != second.frame.size:
        # One may have a border, which reaches into the compared pixels when they are smoothed: more in one direction.
        face, surroundings = _agreement(second, first)
    least = MIN_SMALL_FACE_AGREEMENT if first.enlarged and second.enlarged else MIN_FACE_AGREEMENT
    return face >= least and surroundings >= MIN_SURROUNDINGS_AGREEMENT


def agreement(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Agreement of the detail of two crops uint8 (S, S, 3) RGB, inside the oval of the face and outside it.

    The second crop is registered onto the first by the affine map that maximises their correlation (ECC, Evangelidis
    and Psarakis 2008), because two detections of one face differ by a few pixels. Black areas, which lie outside the
    photo, are ignored.

    Returns:
        Both at most 1: 1 outside the oval where too few pixels are left, -1 for both where the crops do not correlate
        at a coarse scale.
    """
    return _agreement(_Face.of(first), _Face.of(second))


def _agreement(first: _Face, second: _Face) -> tuple[float, float]:
    matrix = _register(first.gray, second.gray, np.minimum(first.valid, second.valid))
    if matrix is None:
        return -1.0, -1.0
    return _agreement_within(first.gray, *_warped(second, matrix, first))


def _warped(face: _Face, matrix: npt.NDArray[np.floating], onto: _Face) -> tuple[Gray, Flags]:
    """Map a face onto another one by the (2, 3) map from its px: pixels, and which are valid in both."""
    flags, size = cv2.WARP_INVERSE_MAP, (SIDE, SIDE)
    warped = np.asarray(cv2.warpAffine(face.gray, matrix, size, flags=flags | cv2.INTER_LINEAR), np.float32)
    valid = cv2.warpAffine(face.valid, matrix, size, flags=flags | cv2.INTER_NEAREST)
    return warped, (np.minimum(valid, onto.valid) > 0) & _inside_frame()


def _agreement_within(a: Gray, b: Gray, area: Flags) -> tuple[float, float]:
    """Agreement of the detail of two registered crops in an area, inside the oval of the face and outside it."""
    if area.sum() < _MIN_PIXELS:
        return -1.0, 1.0
    # The smoothing reaches beyond the area, where one crop may be black or show a border: there both get the same, in
    # the tones of each, so that a darker copy has no edge there.
    inside_a, inside_b = a[area], b[area]
    gain = float(inside_b.std()) / max(1e-6, float(inside_a.std()))
    common = np.where(area, b, (a - inside_a.mean()) * gain + inside_b.mean())
    detail_a, detail_b = (np.asarray(image - cv2.GaussianBlur(image, (0, 0), 5), np.float32) for image in (a, common))
    return (
        _detail_agreement(detail_a, detail_b, area & _OVAL, -1.0),
        _detail_agreement(detail_a, detail_b, area & ~_OVAL, 1.0),
    )


def _gray(crop: npt.NDArray[np.uint8]) -> Gray:
    gray = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(gray, np.float32)


def _valid(gray: Gray) -> npt.NDArray[np.uint8]:
    """1 where the crop shows the photo, 0 in black areas and up to 3 px around them."""
    return np.asarray(1 - cv2.dilate((gray < _MAX_BLACK).astype(np.uint8), np.ones((7, 7), np.uint8)), np.uint8)


def _register(a: Gray, b: Gray, valid: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
    """Return the affine (2, 3) from pixels of `a` to pixels of `b`; None where their correlation is too low.

    A level that does not converge keeps the result of the previous one.
    """
    matrix = np.eye(2, 3, dtype=np.float32)
    for level in _LEVELS:
        start = matrix.copy()
        start[:, 2] *= level.side / SIDE
        size = (level.side, level.side)
        small_a, small_b = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (a, b))
        mask = cv2.resize(valid, size, interpolation=cv2.INTER_NEAREST)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, level.iterations, 1e-4)
        try:
            correlation, refined = cv2.findTransformECC(
                small_a, small_b, start, cv2.MOTION_AFFINE, stop, mask, level.blur
            )
        except cv2.error:
            continue
        if correlation < level.min_correlation:
            return None
        matrix = np.asarray(refined, np.float32)
        matrix[:, 2] *= SIDE / level.side
    return matrix


@cache
def _inside_frame() -> Flags:
    """All pixels but those at the border of the crop."""
    frame = np.zeros((SIDE, SIDE), bool)
    frame[_FRAME:-_FRAME, _FRAME:-_FRAME] = True
    return frame


def _detail_agreement(a: Gray, b: Gray, area: Flags, default: float) -> float:
    """1 minus the squared difference of the detail in an area over its sum of squares, contrast equalised."""
    if area.sum() < _MIN_PIXELS:
        return default
    detail_a, detail_b = a[area] - a[area].mean(), b[area] - b[area].mean()
    detail_b *= np.linalg.norm(detail_a) / max(1e-6, float(np.linalg.norm(detail_b)))
    # In an area with little detail most of it is noise and coding: the NOISE term makes such areas agree.
    difference = float(((detail_a - detail_b) ** 2).sum())
    return 1 - difference / (float((detail_a**2).sum() + (detail_b**2).sum()) + 2 * len(detail_a) * NOISE**2)
