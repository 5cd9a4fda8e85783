"""WebP: lossless stays lossless, lossy is encoded with quality `QUALITY`."""

import io

import numpy as np
from PIL import Image

from curate.decode.orientation import upright
from curate.decode.raster import Raster
from train.swap.photo_files.header import save_options, to_stored, upright_rgb
from train.swap.photo_files.photo_file import PhotoFile, Pixels

QUALITY = 90
_LOSSLESS_EFFORT = 75


def read(data: bytes, raster: Raster, keep_location: bool = False) -> PhotoFile:
    """The photo of a WebP, given its bytes and their raster. Pillow reads the header alone."""
    lossless = data[12:16] == b"VP8L" or (data[12:16] == b"VP8X" and b"VP8L" in _chunk_names(data))
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        options, notes = save_options(image.info, keep_location)
    samples = upright(raster.pixels, raster.orientation)
    orientation = raster.orientation if "exif" in options else 1
    # exact: keeps colours under full transparency
    options |= {"lossless": lossless, "exact": True, "quality": _LOSSLESS_EFFORT if lossless else QUALITY}

    def encode(new: Pixels) -> bytes:
        stored = to_stored(np.concatenate([new, samples[..., 3:]], 2), orientation)
        buffer = io.BytesIO()
        Image.fromarray(stored).save(buffer, "WEBP", **options)
        return buffer.getvalue()

    return PhotoFile(upright_rgb(raster), "WEBP", notes, encode)


def _chunk_names(webp: bytes) -> set[bytes]:
    names, at = set(), 12
    while at + 8 <= len(webp):
        names.add(webp[at : at + 4])
        at += 8 + (length := int.from_bytes(webp[at + 4 : at + 8], "little")) + length % 2
    return names
