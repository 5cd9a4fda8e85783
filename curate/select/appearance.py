"""Side light and open mouth of a face, from its stored crop and label map. Used to choose photos, not to judge them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg

from manifests.landmarks import MASK_CLASSES
from manifests.pixels import decode_mask

SIDE = 56
"""px, about: crops are decoded at the power of two of their size that is next to this."""

MIN_SKIN = 0.02
"""Share of the crop that must be skin on either side for a side light."""

MIN_LIPS = 0.002
"""Share of the crop that must be lips or mouth for an opening."""


def _lookup(*names: str) -> npt.NDArray[np.bool_]:
    return np.isin(np.arange(256), [MASK_CLASSES.index(name) for name in names])


_SKIN, _INSIDE, _LIPS = _lookup("skin", "nose"), _lookup("mouth"), _lookup("mouth", "u_lip", "l_lip")


@dataclass(frozen=True)
class Appearance:
    """What a crop shows of light and expression.

    Attributes:
        side_light: log2 of the mean luma of the skin on the image's right over that on its left; 0 is even light, 1
            is twice as bright on the right. NaN where too little skin is labelled on a side.
        mouth_open: share of lips and mouth that lies between the lips, 0-1. NaN without lips.
    """

    side_light: float
    mouth_open: float


def appearance(crop: bytes, mask: bytes) -> Appearance:
    """Measure a face from the JPEG of its crop and the PNG of its label map."""
    labels = decode_mask(mask)
    luma = simplejpeg.decode_jpeg(crop, "GRAY", min_height=SIDE, min_width=SIDE, min_factor=1)[..., 0]
    rows, columns = (
        (np.arange(size) * full // size + full // (2 * size))
        for size, full in zip(luma.shape, labels.shape, strict=True)
    )
    return Appearance(_side_light(luma, _SKIN[labels[np.ix_(rows, columns)]]), _mouth_open(labels))


def _side_light(luma: npt.NDArray[np.uint8], skin: npt.NDArray[np.bool_]) -> float:
    """Divides the skin at the middle of its columns, so that both sides of a turned head have as much of it."""
    columns = skin.sum(0).cumsum()
    if not columns[-1]:
        return float("nan")
    middle = int(np.searchsorted(columns, columns[-1] / 2))
    sides = [luma[:, part][skin[:, part]] for part in (slice(0, middle), slice(middle + 1, None))]
    if min(len(side) for side in sides) < MIN_SKIN * skin.size:
        return float("nan")
    left, right = (float(side.mean()) + 1 for side in sides)
    return float(np.log2(right / left))


def _mouth_open(labels: npt.NDArray[np.uint8]) -> float:
    counts = np.bincount(labels.ravel(), minlength=256)
    lips = counts[_LIPS].sum()
    return float(counts[_INSIDE].sum() / lips) if lips >= MIN_LIPS * labels.size else float("nan")
