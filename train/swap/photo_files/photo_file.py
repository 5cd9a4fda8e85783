"""`PhotoFile`: the pixels of a photo, and how to encode new ones in its format."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.marks.containers import PhotoFormat

Pixels = npt.NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in JPEG


@dataclass(frozen=True)
class PhotoFile:
    """A photo that can be encoded again.

    Attributes:
        pixels: uint8 (H, W, 3) RGB, upright.
        format: The format of the encoded file.
        notes: What the new file does not keep.
        encode: Encodes pixels of the same shape; returns the bytes of a file.
    """

    pixels: Pixels
    format: PhotoFormat
    notes: tuple[str, ...]
    encode: Callable[[Pixels], bytes]


def luma(rgb: Pixels) -> Pixels:
    """Luma of RGB (H, W, 3), rounded: (H, W). Grey pixels keep their value."""
    grey: Pixels = np.rint(rgb @ _LUMA).astype(np.uint8)
    return grey
