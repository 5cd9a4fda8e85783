"""Near duplicates, confirmed by their pixels: pairs of faces in, whether each pair shows the same picture out.

Hashes and embeddings come close for two photos of one person in one pose. Their aligned crops tell: laid over each
other as well as can be, copies agree in every detail of the face and of what surrounds it; other photos do not.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.reader import Dataset, decode_crop

Gray = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

SIDE = 112
FACE_AGREES, SURROUNDINGS_AGREE = 0.90, 0.75
"""Least agreement of detail inside the face's oval, and outside, of two crops of one picture."""

NOISE = 2.5
"""Detail, in grey levels, that coding and noise alone can make differ."""

# Sides at which crops are registered, coarse to fine, with steps and blur (px) of each, and the correlation below which
# they are no copies: the least of 150 copies in celebs-112 was .79, .92 and .90. Most others end before the last level.
_LEVELS = ((28, 40, 3, 0.75), (56, 30, 5, 0.91), (112, 20, 5, 0.0))
_BLACK = 6
_Y, _X = np.mgrid[:SIDE, :SIDE]
_OVAL = ((_X - 56) / 38) ** 2 + ((_Y - 58) / 48) ** 2 < 1
_EDGE = 3


class PixelCheck:
    """Looks at the crops of one dataset; a `copies.Confirm`. About 10 ms a pair and thread."""

    def __init__(self, dataset: Dataset, threads: int = 2) -> None:
        self.dataset = dataset
        self.threads = threads

    def __call__(self, first: Sequence[str], second: Sequence[str]) -> Flags:
        """face_ids of P pairs -> (P,) whether their crops show the same picture."""
        place = self._places(sorted({*first, *second}))

        def same(pair: tuple[str, str]) -> bool:
            a, b = (decode_crop(self.dataset.pixels.read(*place[face_id])) for face_id in pair)
            return is_same_picture(a, b)

        with ThreadPoolExecutor(self.threads) as pool:
            return np.array(list(pool.map(same, zip(first, second, strict=True))), bool)

    def _places(self, face_ids: list[str]) -> dict[str, tuple[str, int, int]]:
        """Sorted face_ids -> where each one's crop lies: shard, offset, length."""
        wanted = pa.array(face_ids, pa.string())
        found: dict[str, tuple[str, int, int]] = {}
        for bucket in range(self.dataset.buckets):
            rows = self.dataset.measures(bucket, ["face_id", "shard", "crop_offset", "crop_length"])
            rows = rows.filter(pc.is_in(rows["face_id"], wanted))
            for face_id, *place in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                found[face_id] = (place[0], place[1], place[2])
        return found


def is_same_picture(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> bool:
    """Two aligned crops uint8 (S, S, 3) RGB -> whether they come from one picture, mirrored or not."""
    mirrored = np.ascontiguousarray(second[:, ::-1])
    return any(
        face >= FACE_AGREES and around >= SURROUNDINGS_AGREE
        for face, around in (likeness(first, second), likeness(first, mirrored))
    )


def likeness(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Two crops uint8 (S, S, 3) RGB -> agreement (at most 1) of their detail inside the face's oval, and outside it.

    The second is laid over the first by the affine map that maximises their correlation (ECC, Evangelidis and
    Psarakis 2008), because two detections of one face differ by a few pixels. Black areas, which lie outside the photo,
    do not count; where too little is left outside the oval, it agrees. Crops that are unlike even when small: -1, -1.
    """
    a, b = _gray(first), _gray(second)
    seen_a, seen_b = _seen(a), _seen(b)
    matrix = _register(a, b, np.minimum(seen_a, seen_b))
    if matrix is None:
        return -1.0, -1.0
    flags = cv2.WARP_INVERSE_MAP
    moved = np.asarray(cv2.warpAffine(b, matrix, (SIDE, SIDE), flags=flags | cv2.INTER_LINEAR), np.float32)
    seen = cv2.warpAffine(seen_b, matrix, (SIDE, SIDE), flags=flags | cv2.INTER_NEAREST)
    both = (np.minimum(seen, seen_a) > 0) & _framed()
    detail_a, detail_b = (image - cv2.GaussianBlur(image, (0, 0), 5) for image in (a, moved))
    return _agreement(detail_a, detail_b, both & _OVAL, -1.0), _agreement(detail_a, detail_b, both & ~_OVAL, 1.0)


def _gray(crop: npt.NDArray[np.uint8]) -> Gray:
    gray = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(gray, np.float32)


def _seen(gray: Gray) -> npt.NDArray[np.uint8]:
    """1 where the crop shows photo, 0 in black areas and close to them."""
    return np.asarray(1 - cv2.dilate((gray < _BLACK).astype(np.uint8), np.ones((7, 7), np.uint8)), np.uint8)


def _register(a: Gray, b: Gray, seen: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
    """Affine (2, 3) from pixels of `a` to pixels of `b`, None where they are too unlike; a level that does not converge
    leaves the one before."""
    matrix = np.eye(2, 3, dtype=np.float32)
    for side, steps, blur, least in _LEVELS:
        start = matrix.copy()
        start[:, 2] *= side / SIDE
        small_a, small_b = (cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in (a, b))
        mask = cv2.resize(seen, (side, side), interpolation=cv2.INTER_NEAREST)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
        try:
            correlation, found = cv2.findTransformECC(small_a, small_b, start, cv2.MOTION_AFFINE, stop, mask, blur)
        except cv2.error:
            continue
        if correlation < least:
            return None
        matrix = np.asarray(found, np.float32)
        matrix[:, 2] *= SIDE / side
    return matrix


def _framed() -> Flags:
    frame = np.zeros((SIDE, SIDE), bool)
    frame[_EDGE:-_EDGE, _EDGE:-_EDGE] = True
    return frame


def _agreement(a: Gray, b: Gray, where: Flags, otherwise: float) -> float:
    if where.sum() < 500:
        return otherwise
    one, other = a[where] - a[where].mean(), b[where] - b[where].mean()
    other *= np.linalg.norm(one) / max(1e-6, float(np.linalg.norm(other)))
    # Where there is little detail, noise and coding are most of it, and say nothing: NOISE makes such areas agree.
    apart = float(((one - other) ** 2).sum())
    return 1 - apart / (float((one**2).sum() + (other**2).sum()) + 2 * len(one) * NOISE**2)
