"""Conversion of stored colours to sRGB: ICC profiles, CMYK, transparency."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from curate.decode.raster import Colour, Pixels, bands

MAX_PROFILE_BYTES = 4 << 20
"""Larger profiles are ignored; those of printers, the largest, have 2 MB."""
_APPLIED, _IGNORED = "colour profile applied", "colour profile ignored"


def to_srgb(pixels: Pixels, profile: bytes) -> tuple[Pixels, str | None]:
    """Convert pixels from an ICC profile to sRGB.

    Args:
        pixels: uint8 (H, W), (H, W, 3) or (H, W, 4); alpha is kept.
        profile: the embedded profile.

    Returns:
        The pixels and a note; the note is None where the profile is sRGB already. A damaged profile leaves the
        pixels as they are.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        return pixels, _IGNORED
    if b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile:
        return pixels, None
    grey = pixels.ndim == 2
    colours = pixels if grey else np.ascontiguousarray(pixels[..., :3])
    converted = np.empty((*pixels.shape[:2], 3), np.uint8)
    try:
        transform = _transform(profile, "L" if grey else "RGB")
        for rows in bands(*pixels.shape[:2]):
            converted[rows] = np.asarray(transform.apply(Image.fromarray(colours[rows])))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return pixels, _IGNORED
    if not grey and pixels.shape[2] == 4:
        converted = np.concatenate([converted, pixels[..., 3:]], axis=2)
    return converted, _APPLIED


def cmyk_to_rgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Convert CMYK by its profile, else by plain inversion, and return a note as `to_srgb` does.

    Pillow has already undone the inverted storage that all writers of CMYK JPEGs use.
    """
    if profile is not None:
        if len(profile) > MAX_PROFILE_BYTES:
            return image.convert("RGB"), _IGNORED
        try:
            return _transform(profile, "CMYK").apply(image), _APPLIED
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image.convert("RGB"), _IGNORED
    return image.convert("RGB"), None


def flatten_alpha(rgba: Pixels, background: Colour) -> Pixels:
    """Composite uint8 (H, W, 4) over `background`: uint8 (H, W, 3), rounded to nearest."""
    flat = np.empty((*rgba.shape[:2], 3), np.uint8)
    for rows in bands(*rgba.shape[:2]):  # 16-bit products of a whole photo would take eight times its memory
        flat[rows] = _composite(rgba[rows], background)
    return flat


def _composite(rgba: Pixels, background: Colour) -> Pixels:
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha + np.asarray(background, np.uint16) * (255 - alpha)
    # Division by 255 with rounding, exact for 16-bit products of two bytes.
    mixed += 128
    mixed += mixed >> 8
    mixed >>= 8
    return mixed.astype(np.uint8)


@lru_cache(maxsize=64)  # a collection has few distinct profiles; threads may share a transform
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", renderingIntent=intent)
