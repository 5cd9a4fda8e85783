"""Files with blurred and harmless versions and copies of photos, which `evaluate` plants."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from curate.decode import decode
from curate.errors import DecodeError
from curate.evaluate import degradations
from curate.evaluate.degradations import EYE_DISTANCE, LADDER, encode_jpeg
from curate.evaluate.planting import SMALL_PROFILE
from curate.sources import Source
from manifests.output import atomic

Pixels = npt.NDArray[np.uint8]

REVISION = 1
"""Increased when a kind gives other pixels than before."""

_RUNGS = {rung.name: rung for rung in LADDER}
_CROPPED_SIDE = 0.95
_ENLARGEMENT = 1.5
_PADDING = 16  # px, two blocks of a JPEG
SMALL_EYES = 20.0
"""px between the eyes of a small profile, if it were frontal."""


@dataclass(frozen=True)
class PlantedFile:
    """One file to create.

    Attributes:
        identity, image_id, sha256: Of the photo that it shows.
        kind: One of `planting.BLURS`, `planting.HARMLESS`, or `planting.COPIES` but SAME_BYTES.
        scale: Pixels of the photo per pixel of the 256 px face scale (see `degradations`).
    """

    identity: str
    image_id: str
    sha256: str
    kind: str
    scale: float

    @property
    def name(self) -> str:
        """Path of the file in the folder of planted files; a hash of its fields, so that it is created once."""
        key = f"{REVISION} {self.kind} {self.sha256} {self.image_id}"
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
        return f"{digest[:2]}/{digest}.jpg"


def write_planted_files(
    source: Source, files: Iterable[PlantedFile], folder: Path, advance: Callable[[int], None]
) -> None:
    """Write the missing files into `folder`. Photos that cannot be decoded or are not in the source are skipped."""
    for identity, group in groupby(sorted(files, key=lambda file: file.identity), lambda file: file.identity):
        missing = [file for file in group if not (folder / file.name).exists()]
        entries = {entry.image_id: entry for entry in source.entries(identity)} if missing else {}
        for file in missing:
            try:
                pixels = decode(source.read(entries[file.image_id])).pixels
            except (DecodeError, KeyError):
                continue
            path = folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as partial:
                partial.write_bytes(planted_jpeg(pixels, file))
            advance(1)


def planted_jpeg(photo: Pixels, file: PlantedFile) -> bytes:
    """Return the JPEG of a photo uint8 (H, W, 3) RGB, degraded or changed as `file.kind` names. Deterministic."""
    random = np.random.default_rng(list(file.name.encode()))
    height, width = photo.shape[:2]
    if file.kind in _RUNGS:
        return encode_jpeg(_RUNGS[file.kind].apply(photo, file.scale, random), 92)
    if file.kind == "re-encoded":
        return encode_jpeg(photo, 50)
    if file.kind == "resized":
        return encode_jpeg(degradations.smaller(photo, 2), 90)
    if file.kind == "mirrored":
        return encode_jpeg(photo[:, ::-1], 90)
    if file.kind == "cropped":
        crop_height, crop_width = int(_CROPPED_SIDE * height), int(_CROPPED_SIDE * width)
        y, x = int(random.integers(height - crop_height + 1)), int(random.integers(width - crop_width + 1))
        return encode_jpeg(photo[y : y + crop_height, x : x + crop_width], 90)
    if file.kind == "enlarged":
        size = round(width * _ENLARGEMENT), round(height * _ENLARGEMENT)
        return encode_jpeg(np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC), np.uint8), 90)
    if file.kind in ("border", "bordered"):
        side = max(1, round(0.06 * min(height, width)))
        return encode_jpeg(_surrounded(photo, side, side, int(random.choice([0, 255]))), 92)
    if file.kind == "padding":
        return encode_jpeg(_surrounded(photo, 0, _PADDING, 0), 92)
    if file.kind.startswith("turned by "):
        return encode_jpeg(np.ascontiguousarray(np.rot90(photo, int(file.kind.rpartition(" ")[2]) // 90)), 92)
    if file.kind == SMALL_PROFILE:
        return encode_jpeg(degradations.smaller(photo, max(1.0, file.scale * EYE_DISTANCE / SMALL_EYES)), 92)
    raise ValueError(f"unknown kind of planted file: {file.kind!r}")


def _surrounded(photo: Pixels, rows: int, columns: int, level: int) -> Pixels:
    """Add `rows` above and below and `columns` at the sides, in one grey level."""
    return np.pad(photo, ((rows, rows), (columns, columns), (0, 0)), constant_values=level)
