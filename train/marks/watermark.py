"""Our invisible watermark: pictures and an ID -> the same pictures carrying it; pictures -> the ID that they carry.

Spread spectrum (Cox et al. 1997) on a canonical grid: the ID's code is laid on 4,096 frequencies of the picture's
brightness, as strong as its surroundings hide it. The grid spans the whole picture, so resizing needs no search; what
cropping did is found by a pilot, up to a fifth of the width and of the height. The mirrored picture is tried too.
A face cut out of a frame, rotation, and crops beyond that are not found.

It is a label, not tamper-proofing: the key is public, and who wants the mark gone can remove or forge it.

False positives: a reading counts when the CRC agrees and the score reaches LIMIT. At most TRIES readings are made of a
picture, so by `code.false_positive_bound` an unmarked one passes with a chance of 5e-7 or less.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from train.marks.canonical import box, brightness, detail, variance
from train.marks.carriers import GRID, carriers_on
from train.marks.code import Decoded, decode, false_positive_bound
from train.marks.registration import CANDIDATES, Crop, crops, restored
from train.marks.spectrum import whitened

Pixels = npt.NDArray[np.uint8]

TRIES = 2 + CANDIDATES
"""Readings of one picture at most: upright, mirrored, and with the likeliest crops."""

LIMIT = 17.5
"""Score from which on a reading counts."""

LOSS = 0.03, 0.02
"""Of SSIM, about: in pictures of 256 px and less, where compression hurts most, and of 512 px and more."""

FLAT = 27.0
"""Half of SSIM's C2 = 58.5, a little less: the variance that a flat place is taken to have."""

LOUDEST = 12.0
"""Grey levels, the largest RMS of the mark in any place."""

LOUDEST_PICTURE = 3.2
"""Grey levels, the largest RMS of the mark in any picture: a PSNR of 38 dB, a little more after the resize."""

SAMPLE_ID = 0x5A3B1E00
"""The ID of pictures that belong to no swap: sample grids of training and evaluation."""

_PIXELS = 1 << 23
"""Pixels worked on at once; bounds the memory of large frames."""


@dataclass(frozen=True)
class Reading:
    """What one picture says. `mark_id` means something only where `detected`.

    `score`: see `code.Decoded`; about 14.5 without a mark, 17.5 is the limit, 50 is usual in an untouched picture.
    `confidence`: 1 less the bound of the chance that an unmarked picture reads like this; 0 where not detected.
    `crop`: what is left of the marked picture, None for all of it.
    """

    mark_id: int
    score: float
    detected: bool
    mirrored: bool = False
    crop: Crop | None = None

    @property
    def confidence(self) -> float:
        return 1 - false_positive_bound(self.score, TRIES) if self.detected else 0.0


class Watermark:
    """The mark of one ID, ready to be laid on pictures on `device`."""

    def __init__(self, mark_id: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._pattern = carriers_on(self.device).pattern(mark_id)

    def mark(self, rgb: Pixels) -> Pixels:
        """Pictures of one size, uint8 (N, H, W, 3) RGB -> the same, marked. The input is not changed."""
        if rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"{rgb.dtype} {rgb.shape}: uint8 (N, H, W, 3) is needed")
        step = max(1, _PIXELS // max(1, rgb.shape[1] * rgb.shape[2]))
        marked = [self._batch(rgb[start : start + step]) for start in range(0, len(rgb), step)]
        return np.concatenate(marked) if marked else rgb.copy()

    def _batch(self, rgb: Pixels) -> Pixels:
        pixels = _tensor(rgb, self.device)
        # SSIM = (2 s^2 + C2) / (2 s^2 + n^2 + C2) for a mark of variance n^2 on a picture of variance s^2, C2 = 58.5:
        # with n^2 = 2 loss (s^2 + C2 / 2) it loses about as much everywhere.
        loss = float(np.interp(min(rgb.shape[1:3]), (256, 512), LOSS))
        hidden = (2 * loss * (FLAT + variance(brightness(pixels)))).sqrt().clamp_max(LOUDEST)
        change = box(hidden, 3) * self._pattern
        loudness = change.square().mean((1, 2), keepdim=True).sqrt()
        change *= (LOUDEST_PICTURE / loudness).clamp_max(1)
        change = interpolate(change[:, None], pixels.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
        levels = change.round_().to(torch.int16)
        result = pixels.to(torch.int16)
        for channel in range(3):  # one by one: several times faster than broadcasting over the last axis
            result[..., channel] += levels
        marked: Pixels = result.clamp_(0, 255).to(torch.uint8).cpu().numpy()
        return marked


def mark_sample(picture: Pixels) -> Pixels:
    """A picture with generated faces for training's or evaluation's eyes, uint8 (H, W, 3) -> the same, marked."""
    marked: Pixels = Watermark(SAMPLE_ID).mark(picture[None])[0]
    return marked


def read(pictures: Sequence[Pixels], device: torch.device | str = "cpu") -> list[Reading]:
    """Pictures of any sizes, each uint8 (H, W, 3) RGB -> what each says."""
    return read_grids(grids(pictures, device)) if pictures else []


def read_clip(frames: Iterable[Pixels], device: torch.device | str = "cpu") -> Reading:
    """Frames of one clip, all with the same mark -> what they say together; no frames: an error.

    Their details are averaged on the grid, which is to add up their soft correlations; one frame is held at a time.
    """
    total, count = torch.zeros(1, GRID, GRID, device=device), 0
    for frame in frames:
        total += grids([frame], device)
        count += 1
    if not count:
        raise ValueError("a clip of no frames says nothing")
    return read_grids(total / count)[0]


def grids(pictures: Sequence[Pixels], device: torch.device | str = "cpu") -> torch.Tensor:
    """Pictures, each uint8 (H, W, 3) RGB -> their detail on the canonical grid, float32 (N, 256, 256)."""
    return detail(torch.cat([brightness(_tensor(picture[None], device)) for picture in pictures]))


def read_grids(found: torch.Tensor) -> list[Reading]:
    """Details on the grid, float (N, 256, 256) -> what each says, by the reading with the highest score."""
    readings = [_reading(decoded) for decoded in _decoded(found)]
    left = [k for k, reading in enumerate(readings) if not reading.detected]
    if left:
        for k, decoded in zip(left, _decoded(found[left].flip(2)), strict=True):
            readings[k] = max(readings[k], _reading(decoded, mirrored=True), key=_rank)
    left = [k for k, reading in enumerate(readings) if not reading.detected]
    if left:
        for k, tries in zip(left, crops(found[left]), strict=True):
            for crop, mirrored in tries:
                grid = found[k].flip(1) if mirrored else found[k]
                (decoded,) = _decoded(restored(grid, crop)[None])
                readings[k] = max(readings[k], _reading(decoded, mirrored, crop), key=_rank)
    return readings


def _decoded(found: torch.Tensor) -> list[Decoded]:
    return decode(carriers_on(found.device).soft(whitened(torch.fft.rfft2(found))))


def _reading(decoded: Decoded, mirrored: bool = False, crop: Crop | None = None) -> Reading:
    detected = decoded.checked and decoded.score >= LIMIT
    return Reading(decoded.mark_id, decoded.score, detected, mirrored, crop)


def _rank(reading: Reading) -> tuple[bool, float]:
    return reading.detected, reading.score


def _tensor(rgb: Pixels, device: torch.device | str) -> torch.Tensor:
    if not rgb.flags.writeable:
        rgb = rgb.copy()  # torch warns of arrays that it could change
    return torch.from_numpy(np.ascontiguousarray(rgb)).to(device)
