"""EXIF orientation (tag 0x0112): read it from an EXIF block, apply it to pixels."""

import struct
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)

_ORIENTATION_TAG = 0x0112
_SHORT = 3  # TIFF field type: unsigned 16 bit


def exif_orientation(exif: bytes) -> int:
    """Return the orientation 1..8 of an EXIF block that starts with its TIFF header; 1 if absent or damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is not None:
            (start,) = struct.unpack_from(f"{order}I", exif, 4)
            (count,) = struct.unpack_from(f"{order}H", exif, start)
            for entry in range(start + 2, start + 2 + 12 * count, 12):
                tag, field_type, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
                if tag == _ORIENTATION_TAG and field_type == _SHORT:
                    return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(pixels: npt.NDArray[Scalar], orientation: int) -> npt.NDArray[Scalar]:
    """Undo an EXIF orientation: rows and columns exchanged for 5..8, then flipped. Returns a view."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
