"""HEIC and HEIF by Pillow with the optional package pillow-heif, which also applies the orientation."""

import importlib
import importlib.util

from curate.decode import pillow
from curate.decode.raster import Raster
from curate.decode.signatures import REQUIREMENTS
from curate.errors import DecodeError


def read(data: bytes, max_pixels: int) -> Raster:
    """Read a HEIF file; of several images, the primary one. Raises DecodeError, see `curate.decode.photo.decode`."""
    if importlib.util.find_spec("pillow_heif") is None:
        raise DecodeError(REQUIREMENTS["HEIF"])
    importlib.import_module("pillow_heif").register_heif_opener()
    return pillow.read(data, max_pixels, ("HEIF",))
