"""The part of a photo's header that results keep: colour profile, resolution, EXIF, orientation."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from curate.decode.orientation import upright
from curate.decode.raster import Raster

Scalar = TypeVar("Scalar", bound=np.generic)


_GPS = 0x8825  # EXIF tag: the directory of the location
_GPS_VERSION = 0  # its only tag where the camera did not know the location


def save_options(
    info: Mapping[Any, Any], keep_location: bool, with_profile: bool = True
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The retained header fields of a Pillow image's `info`, as arguments of `Image.save`, and notes on the others."""
    options: dict[str, Any] = {}
    if with_profile and info.get("icc_profile"):
        options["icc_profile"] = info["icc_profile"]
    if info.get("dpi"):
        options["dpi"] = info["dpi"]
    exif, notes = info.get("exif"), tuple[str, ...]()
    if isinstance(exif, bytes):
        exif, notes = clean_exif(exif, keep_location)
        if exif:
            options["exif"] = exif
    return options, notes


def clean_exif(exif: bytes, keep_location: bool) -> tuple[bytes, tuple[str, ...]]:
    """An EXIF block without thumbnail and GPS location, and a note on a removed location; empty where it is damaged.

    The thumbnail shows the original face. Without EXIF the orientation is lost too, so the pixels must then be stored
    upright.
    """
    block = Image.Exif()
    try:
        block.load(exif)
        if keep_location:
            return block.tobytes(), ()
        located = bool(set(block.get_ifd(_GPS)) - {_GPS_VERSION})
        block.pop(_GPS, None)
        return block.tobytes(), ("GPS location: removed",) if located else ()
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, IndexError):
        return b"", ()


def upright_rgb(raster: Raster) -> npt.NDArray[np.uint8]:
    """The pixels of a raster as uint8 (H, W, 3) in the colours of the file, upright, without alpha."""
    pixels = raster.pixels[..., None] if raster.pixels.ndim == 2 else raster.pixels[..., :3]
    pixels = upright(pixels, raster.orientation)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def to_stored(pixels: npt.NDArray[Scalar], orientation: int) -> npt.NDArray[Scalar]:
    """Rotate and mirror upright pixels as a file of that EXIF orientation stores them; inverse of `decode.upright`."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels.swapaxes(0, 1) if orientation >= 5 else pixels)
