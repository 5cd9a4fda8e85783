"""The part of a photo's header that results keep: colour profile, resolution, EXIF, orientation."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

Scalar = TypeVar("Scalar", bound=np.generic)


def save_options(info: Mapping[Any, Any], with_profile: bool = True) -> dict[str, Any]:
    """The retained header fields of a Pillow image's `info`, as arguments of `Image.save`."""
    options: dict[str, Any] = {}
    if with_profile and info.get("icc_profile"):
        options["icc_profile"] = info["icc_profile"]
    if info.get("dpi"):
        options["dpi"] = info["dpi"]
    exif = info.get("exif")
    if isinstance(exif, bytes) and (exif := without_thumbnail(exif)):
        options["exif"] = exif
    return options


def without_thumbnail(exif: bytes) -> bytes:
    """An EXIF block without its second directory, whose thumbnail shows the original face; empty where it is damaged.

    Without EXIF the orientation is lost too, so the pixels must then be stored upright.
    """
    block = Image.Exif()
    try:
        block.load(exif)
        return block.tobytes()
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, IndexError):
        return b""


def to_stored(pixels: npt.NDArray[Scalar], orientation: int) -> npt.NDArray[Scalar]:
    """Rotate and mirror upright pixels as a file of that EXIF orientation stores them; inverse of `decode.upright`."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels.swapaxes(0, 1) if orientation >= 5 else pixels)
