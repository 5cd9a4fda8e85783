"""EXIF orientation (tag 0x0112): read it from an EXIF block or from XMP, apply it to pixels."""

import re
import struct
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)

_ORIENTATION_TAG = 0x0112
_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""TIFF field type -> struct format of the integer types. The standard says SHORT (3); some writers use others."""
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])\s*[\"'<]")
_RAW_PROFILE = re.compile(rb"Raw profile type (?:exif|APP1)", re.IGNORECASE)


def exif_orientation(exif: bytes) -> int:
    """Return the orientation 1..8 of an EXIF block, with or without "Exif\\0\\0"; 1 if absent or damaged."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is not None:
            (start,) = struct.unpack_from(f"{order}I", exif, 4)
            (count,) = struct.unpack_from(f"{order}H", exif, start)
            for entry in range(start + 2, start + 2 + 12 * count, 12):
                tag, field_type = struct.unpack_from(f"{order}HH", exif, entry)
                if tag == _ORIENTATION_TAG and field_type in _FORMATS:
                    # A value of at most four bytes is stored at the start of its field.
                    (value,) = struct.unpack_from(order + _FORMATS[field_type], exif, entry + 8)
                    return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def xmp_orientation(xmp: bytes) -> int:
    """Return the orientation 1..8 of an XMP packet; 1 if absent. EXIF has precedence over it."""
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found else 1


def is_raw_profile(keyword: bytes) -> bool:
    """Whether a PNG text chunk with this keyword holds EXIF as ImageMagick stores it."""
    return _RAW_PROFILE.fullmatch(keyword) is not None


def raw_profile(text: bytes) -> bytes:
    """Return the bytes of a raw profile: a line with its name, one with its length, then hex digits; b"" if damaged."""
    try:
        _, _, digits = text.strip().split(b"\n", 2)
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""


def upright(pixels: npt.NDArray[Scalar], orientation: int) -> npt.NDArray[Scalar]:
    """Undo an EXIF orientation: rows and columns exchanged for 5..8, then flipped. Returns a view."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
