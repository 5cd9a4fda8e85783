"""JPEG: keeps the quantisation tables and the chroma subsampling of the original, so encoding again loses little.

Tables are at least as fine as those of quality `MIN_QUALITY`. Grey stays grey; CMYK becomes RGB.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, JpegImagePlugin

from curate.decode.raster import Raster
from train.swap.photo_files.header import save_options, to_stored, upright_rgb
from train.swap.photo_files.photo_file import PhotoFile, Pixels, luma

MIN_QUALITY = 75
"""libjpeg quality; coarser tables would remove the watermark."""


def read(data: bytes, raster: Raster, keep_location: bool = False) -> PhotoFile:
    """The photo of a JPEG, given its bytes and their raster. Pillow reads the header alone."""
    with Image.open(io.BytesIO(data), formats=["JPEG", "MPO"]) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        grey, cmyk = image.mode == "L", image.mode == "CMYK"
        tables = {number: list(table) for number, table in image.quantization.items()}
        subsampling = JpegImagePlugin.get_sampling(image)
        options, notes = save_options(image.info, keep_location, with_profile=not cmyk)
        options["progressive"] = bool(image.info.get("progressive"))
    options["qtables"] = _at_least_min_quality(tables)[: 1 if grey else 2]
    if not grey:
        options["subsampling"] = 0 if cmyk or subsampling < 0 else subsampling
    orientation = raster.orientation if "exif" in options else 1

    def encode(new: Pixels) -> bytes:
        stored = to_stored(new, orientation)
        buffer = io.BytesIO()
        Image.fromarray(luma(stored) if grey else stored).save(buffer, "JPEG", **options)
        return buffer.getvalue()

    if cmyk:
        notes = ("CMYK: written as RGB", *notes)
    return PhotoFile(upright_rgb(raster), "JPEG", notes, encode)


def _at_least_min_quality(tables: dict[int, list[int]]) -> list[list[int]]:
    """Quantisation tables, luma and chroma, with steps no larger than those of `MIN_QUALITY`."""
    first = tables.get(0, next(iter(tables.values())))
    original = (first, tables.get(1, first))
    return [np.minimum(table, limit).tolist() for table, limit in zip(original, _limits(), strict=True)]


@lru_cache(maxsize=1)
def _limits() -> tuple[list[int], list[int]]:
    """libjpeg's tables of quality `MIN_QUALITY`, luma and chroma."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=MIN_QUALITY)
    with Image.open(buffer) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return list(image.quantization[0]), list(image.quantization[1])
