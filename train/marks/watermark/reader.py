"""Detects watermarks and reads their IDs.

False positives: a reading counts as detected where its CRC is right and its score reaches `MIN_SCORE`. At most
`MAX_READINGS` readings are made of a picture, so by `code.false_positive_bound` an unmarked picture is detected with a
probability of at most 5e-7.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from train.marks.watermark.carriers import GRID, carriers_on
from train.marks.watermark.code import DecodedId, decode, false_positive_bound
from train.marks.watermark.grid import detail, luma_grid, to_tensor
from train.marks.watermark.registration import MAX_CROPS, Crop, find_crops, restore
from train.marks.watermark.spectrum import whiten

Pixels = npt.NDArray[np.uint8]

MAX_READINGS = 2 + MAX_CROPS
"""Readings of one picture: as it is, mirrored, and with each of the likeliest crops undone."""

MIN_SCORE = 17.5
"""Detection threshold of `Reading.score`."""


@dataclass(frozen=True)
class Reading:
    """The result of reading one picture.

    Attributes:
        mark_id: meaningful only where `detected`.
        score: see `code.DecodedId.score`; about 14.5 without a mark, about 50 in an untouched marked picture.
        detected: whether the picture has a watermark.
        mirrored: whether it is mirrored.
        crop: the part of the marked picture that is left, None for all of it.
    """

    mark_id: int
    score: float
    detected: bool
    mirrored: bool = False
    crop: Crop | None = None

    @property
    def confidence(self) -> float:
        """1 less the bound of the probability that an unmarked picture gives this reading; 0 where not detected."""
        return 1 - false_positive_bound(self.score, MAX_READINGS) if self.detected else 0.0


def read(pictures: Sequence[Pixels], device: torch.device | str = "cpu") -> list[Reading]:
    """Read pictures of any sizes, each uint8 (H, W, 3) RGB."""
    return read_grids(detail_grids(pictures, device)) if pictures else []


def read_clip(frames: Iterable[Pixels], device: torch.device | str = "cpu") -> Reading:
    """Read frames with the same mark together, each uint8 (H, W, 3) RGB; ValueError where there are none.

    The mean of their detail grids adds up their soft correlations. One frame is in memory at a time.
    """
    total, count = torch.zeros(1, GRID, GRID, device=device), 0
    for frame in frames:
        total += detail_grids([frame], device)
        count += 1
    if not count:
        raise ValueError("the clip has no frames")
    return read_grids(total / count)[0]


def detail_grids(pictures: Sequence[Pixels], device: torch.device | str = "cpu") -> torch.Tensor:
    """The detail (see `grid.detail`) of pictures, each uint8 (H, W, 3) RGB: float32 (N, 256, 256)."""
    return detail(torch.cat([luma_grid(to_tensor(picture[None], device)) for picture in pictures]))


def read_grids(grids: torch.Tensor) -> list[Reading]:
    """Read detail grids, float (N, 256, 256); of each, the reading with the highest score."""
    readings = [_reading(decoded) for decoded in _decode(grids)]
    remaining = [k for k, reading in enumerate(readings) if not reading.detected]
    if remaining:
        for k, decoded in zip(remaining, _decode(grids[remaining].flip(2)), strict=True):
            readings[k] = max(readings[k], _reading(decoded, mirrored=True), key=_rank)
    remaining = [k for k, reading in enumerate(readings) if not reading.detected]
    if remaining:
        for k, candidates in zip(remaining, find_crops(grids[remaining]), strict=True):
            for crop, mirrored in candidates:
                grid = grids[k].flip(1) if mirrored else grids[k]
                (decoded,) = _decode(restore(grid, crop)[None])
                readings[k] = max(readings[k], _reading(decoded, mirrored, crop), key=_rank)
    return readings


def _decode(grids: torch.Tensor) -> list[DecodedId]:
    return decode(carriers_on(grids.device).soft(whiten(torch.fft.rfft2(grids))))


def _reading(decoded: DecodedId, mirrored: bool = False, crop: Crop | None = None) -> Reading:
    detected = decoded.valid and decoded.score >= MIN_SCORE
    return Reading(decoded.mark_id, decoded.score, detected, mirrored, crop)


def _rank(reading: Reading) -> tuple[bool, float]:
    return reading.detected, reading.score
