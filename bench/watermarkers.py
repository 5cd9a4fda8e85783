"""The watermarking methods that `bench.watermark` compares, behind one interface."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.marks.watermark.code import false_positive_bound
from train.marks.watermark.reader import MAX_READINGS, MIN_SCORE, Reading, evidence_of, read_evidence
from train.marks.watermark.writer import Watermark

Pixels = npt.NDArray[np.uint8]
MARK_ID = 0x9E3779B9
BITS = [MARK_ID >> k & 1 for k in range(31, -1, -1)]

FALSE_POSITIVE_RATES = (1e-3, 1e-6)


@dataclass(frozen=True)
class Result:
    """What a method reads of one picture.

    Attributes:
        recovered: all 32 bits are right.
        detected: at each of FALSE_POSITIVE_RATES.
    """

    recovered: bool
    detected: tuple[bool, bool]


@dataclass(frozen=True)
class Method:
    """A watermarking method.

    Attributes:
        name: as printed.
        mark: embeds MARK_ID in a picture uint8 (H, W, 3) RGB.
        read: reads an attacked picture.
        min_side: smallest side of a picture that it accepts, px.
        max_photos: of each set, because it is slow.
    """

    name: str
    mark: Callable[[Pixels], Pixels]
    read: Callable[[Pixels], Result]
    min_side: int = 0
    max_photos: int = 1_000_000


def lowest_score(rate: float) -> float:
    """The score at which the design bound of false positives has this value."""
    return math.sqrt(8 * (32 * math.log(2) + math.log(MAX_READINGS / rate)))


def recovers_id(reading: Reading) -> bool:
    return reading.detected and reading.mark_id == MARK_ID


def swapset() -> Method:
    """The ID is read without knowing it; detection is a reading with a right CRC, whichever the ID."""
    watermark = Watermark(MARK_ID)
    assert false_positive_bound(MIN_SCORE, MAX_READINGS) <= FALSE_POSITIVE_RATES[1]

    def read(picture: Pixels) -> Result:
        reading = read_evidence(evidence_of(picture), lowest_score(FALSE_POSITIVE_RATES[0]))
        certain = reading.detected and reading.score >= MIN_SCORE
        return Result(certain and reading.mark_id == MARK_ID, (reading.detected, certain))

    return Method("Swapset", lambda picture: watermark.mark(picture[None])[0], read)


def bit_result(bits: list[int]) -> Result:
    """Of a method without detection: whether as many bits agree with the known ones as chance rarely gives."""
    equal = sum(bit == expected for bit, expected in zip(bits, BITS, strict=True))
    chance = sum(math.comb(32, k) for k in range(equal, 33)) / 2**32
    low, high = FALSE_POSITIVE_RATES
    return Result(equal == 32, (chance <= low, chance <= high))


def invisible_watermark(variant: str) -> Method:
    """invisible-watermark refuses pictures under 256 x 256 px."""
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    def mark(picture: Pixels) -> Pixels:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bits", BITS)
        bgr: Any = encoder.encode(np.ascontiguousarray(picture[..., ::-1]), variant)
        return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)

    def read(picture: Pixels) -> Result:
        if picture.shape[0] * picture.shape[1] < 256 * 256:
            return bit_result([1 - bit for bit in BITS])
        bits = WatermarkDecoder("bits", 32).decode(np.ascontiguousarray(picture[..., ::-1]), variant)
        return bit_result([int(bit) for bit in bits])

    return Method(f"invisible-watermark {variant}", mark, read, min_side=256, max_photos=10)


def blind_watermark() -> Method:
    from blind_watermark import WaterMark, bw_notes

    bw_notes.close()

    def mark(picture: Pixels) -> Pixels:
        marker = WaterMark(password_img=1, password_wm=1)
        marker.read_img(img=np.ascontiguousarray(picture[..., ::-1]))
        marker.read_wm(np.array(BITS, bool), mode="bit")
        return np.clip(np.rint(marker.embed()), 0, 255)[..., ::-1].astype(np.uint8)

    def read(picture: Pixels) -> Result:
        marker = WaterMark(password_img=1, password_wm=1)
        try:
            bits = marker.extract(embed_img=np.ascontiguousarray(picture[..., ::-1]), wm_shape=32, mode="bit")
        except (ValueError, AssertionError, IndexError):
            return bit_result([1 - bit for bit in BITS])
        return bit_result([int(bit > 0.5) for bit in bits])

    return Method("blind-watermark", mark, read, max_photos=3)


def methods(compared: bool) -> list[Method]:
    """The methods, with the libraries where they are `compared`."""
    libraries = [invisible_watermark("dwtDct"), invisible_watermark("dwtDctSvd"), blind_watermark()] if compared else []
    return [swapset(), *libraries]
