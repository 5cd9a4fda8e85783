"""Good photos in, blurred versions and copies of them out, as files beside them: what `evaluate` plants."""

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
from curate.evaluate.degradations import LADDER
from curate.sources import Source
from manifests.output import atomic

Pixels = npt.NDArray[np.uint8]

REVISION = 1
"""Grows when the same kind makes other pixels."""

_RUNGS = {rung.name: rung for rung in LADDER}


@dataclass(frozen=True)
class Order:
    """One file to make: from which photo, how, and how many px of the photo make one of the 256 px face scale."""

    identity: str
    image_id: str
    sha256: str
    kind: str
    scale: float

    @property
    def name(self) -> str:
        """Path of the file, below the folder of all such files; the same order always has the same."""
        told = f"{REVISION} {self.kind} {self.sha256} {self.image_id}"
        digest = hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
        return f"{digest[:2]}/{digest}.jpg"


def spoil(source: Source, orders: Iterable[Order], folder: Path, tick: Callable[[int], None]) -> None:
    """Writes the files that are not there yet. The source is only read; a photo that cannot be read makes none."""
    for identity, of_one in groupby(sorted(orders, key=lambda order: order.identity), lambda order: order.identity):
        missing = [order for order in of_one if not (folder / order.name).exists()]
        entries = {entry.image_id: entry for entry in source.entries(identity)} if missing else {}
        for order in missing:
            try:
                pixels = decode(source.read(entries[order.image_id])).pixels
            except (DecodeError, KeyError):
                continue
            path = folder / order.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as partial:
                partial.write_bytes(spoiled(pixels, order))
            tick(1)


def spoiled(photo: Pixels, order: Order) -> bytes:
    """Photo uint8 (H, W, 3) RGB -> the bytes of a JPEG of it, made worse or only made otherwise."""
    random = np.random.default_rng(list(order.name.encode()))
    height, width = photo.shape[:2]
    if order.kind in _RUNGS:
        return _jpeg(_RUNGS[order.kind].apply(photo, order.scale, random), 92)
    if order.kind == "re-encoded":
        return _jpeg(photo, 50)
    if order.kind == "resized":
        return _jpeg(degradations.smaller(photo, 2), 90)
    if order.kind == "mirrored":
        return _jpeg(photo[:, ::-1], 90)
    if order.kind == "cropped":
        y, x = (int(random.integers(side - int(0.95 * side) + 1)) for side in (height, width))
        return _jpeg(photo[y : y + int(0.95 * height), x : x + int(0.95 * width)], 90)
    raise ValueError(f"no way to spoil a photo is called {order.kind!r}")


def _jpeg(photo: Pixels, quality: int) -> bytes:
    ok, coded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return coded.tobytes()
