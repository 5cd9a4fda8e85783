"""Every format without a reader of its own, and unusual JPEGs and PNGs, by Pillow."""

import io
import re
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from curate.decode.colour import cmyk_to_rgb
from curate.decode.orientation import exif_orientation, xmp_orientation
from curate.decode.raster import Pixels, Raster, bands, check_size
from curate.decode.signatures import HEAD_BYTES, REQUIREMENTS, format_of
from curate.errors import DecodeError

PILLOW_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF") + ("AVIF",) * bool(features.check("avif"))
"""Formats that Pillow may read. Its readers of documents, scripts and rare formats stay disabled."""

# Pillow warns of what it repairs or refuses, per photo, on standard error. Notes and reasons say it.
warnings.filterwarnings("ignore", module=r"PIL\.")

MAX_PIXELS_PER_BYTE = 5_000
"""Limit on AVIF and HEIC, which declare a size to which libraries enlarge the coded picture; photos have up to 100, one
colour has 20,000 and more."""
_SEVERAL_IMAGES = ("TIFF", "HEIF")  # several frames are several images, not an animation


def read(data: bytes, max_pixels: int, formats: tuple[str, ...] = PILLOW_FORMATS) -> Raster:
    """Read one of `formats`; of an animation, its first frame.

    Raises:
        DecodeError: see `curate.decode.photo.decode`.
    """
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        # Pillow's own limit holds for the whole process. It is raised, never lowered: `check_size` is stricter.
        Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            check_size(*image.size, max_pixels)
            if image.format in ("AVIF", "HEIF") and image.width * image.height > MAX_PIXELS_PER_BYTE * len(data):
                raise DecodeError(f"too much work: {image.width}x{image.height} in {len(data)} bytes")
            return _raster(image)
    except DecodeError:
        raise
    except UnidentifiedImageError as error:
        missing = "AVIF" not in PILLOW_FORMATS and format_of(data[:HEAD_BYTES]) == "AVIF"
        raise DecodeError(REQUIREMENTS["AVIF"] if missing else "not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        count = re.search(r"\((\d+) pixels\)", str(error))
        raise DecodeError(f"too many pixels: {count[1] if count else 'over Pillow’s limit'}") from error
    except MemoryError:
        raise
    except Exception as error:
        text = str(error).lower()
        raise DecodeError("truncated" if "truncated" in text or "unexpected end" in text else "corrupt data") from error


def _raster(image: Image.Image) -> Raster:
    image_format, mode, notes = str(image.format), image.mode, []
    # Asked last: of a TIFF, Pillow would read every directory to answer.
    if image_format not in _SEVERAL_IMAGES and getattr(image, "is_animated", False):
        notes.append("animated: first frame")
    image.load()  # also rotates TIFFs upright
    # After load(): a PNG may store EXIF after the pixels.
    exif = (image.info.get("exif") or b"").removeprefix(b"Exif\0\0")
    xmp = image.info.get("xmp") or b""
    orientation = exif_orientation(exif) if exif else xmp_orientation(xmp if isinstance(xmp, bytes) else xmp.encode())
    profile = image.info.get("icc_profile") or None
    if mode.startswith("I;16"):
        notes.append("16 bit")
        pixels = _pixels(image, mode)
    elif mode == "CMYK":
        notes.append("CMYK")
        _, note = cmyk_to_rgb(image.crop((0, 0, 1, 1)), profile)
        notes += [note] if note else []
        pixels, profile = _pixels(image, "RGB", lambda band: cmyk_to_rgb(band, profile)[0]), None
    elif mode in ("I", "F"):
        raise DecodeError(f"unsupported pixels: {mode}")
    elif image.has_transparency_data:
        pixels = _pixels(image, "RGBA")
    else:
        pixels = _pixels(image, "L" if mode in ("1", "L") else "RGB")
    image_format = image_format.replace("MPO", "JPEG").replace("DIB", "BMP")
    return Raster(pixels, image_format, orientation, profile, tuple(notes))


def _pixels(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image] | None = None) -> Pixels:
    """Convert an image to "L", "RGB", "RGBA" or, of a 16-bit mode, to the high byte of its samples.

    Done in bands: Pillow's conversion and its export to NumPy hold three copies of what they are given. `convert`
    replaces the conversion to `mode`.
    """
    channels = {"RGB": (3,), "RGBA": (4,)}.get(mode, ())
    pixels = np.empty((image.height, image.width, *channels), np.uint8)
    for rows in bands(image.height, image.width):
        band = image.crop((0, rows.start, image.width, rows.stop))
        if mode.startswith("I;16"):
            pixels[rows] = np.asarray(band) >> 8
        else:
            pixels[rows] = np.asarray(convert(band) if convert else band.convert(mode))
    return pixels
