"""Decode the bytes of one photo to upright sRGB pixels.

A format's reader returns a `Raster`; colours, transparency and orientation are then normalised in one place. The
readers release the interpreter lock while they decode, so threads run in parallel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curate.decode import bmp, gif, heif, jpeg, jxl, pillow, png, tiff, webp
from curate.decode import isolated as isolated_decoder
from curate.decode.boundary import decoder_errors
from curate.decode.colour import flatten_alpha, to_srgb
from curate.decode.orientation import upright
from curate.decode.raster import MAX_PIXELS, Colour, Pixels, Raster
from curate.decode.signatures import HEAD_BYTES, format_of
from curate.errors import DecodeError

READERS: dict[str, Callable[[bytes, int], Raster]] = {
    "JPEG": jpeg.read,
    "PNG": png.read,
    "HEIF": heif.read,
    "JXL": jxl.read,
    "WEBP": webp.read,
    "GIF": gif.read,
    "BMP": bmp.read,
    "TIFF": tiff.read,
}
"""Format (see `signatures.format_of`) -> its reader, called with (data, max_pixels). Pillow reads every other one."""

SHRINKING: dict[str, Callable[[bytes, int, bool], Raster]] = {
    "JPEG": jpeg.read,
    "PNG": png.read,
}
"""Formats that are read scaled down where they are over the limit, without the memory of the whole photo."""

ISOLATED_FORMATS = ("AVIF", "HEIF", "JXL", "TIFF")
"""Formats that are always decoded by `curate.decode.isolated`: no header tells the work of their codecs."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded photo.

    Attributes:
        pixels: uint8 (height, width, 3) RGB in sRGB, C-contiguous, upright.
        width, height: size after the EXIF orientation is applied, px.
        format: format by content, with Pillow's names: "JPEG", "PNG", "WEBP", "HEIF", ..., and "JXL" for JPEG XL.
        orientation: EXIF orientation 1..8 that was applied; 1 for TIFF, HEIF and JPEG XL, whose libraries rotate.
        notes: conversions and repairs that were necessary, from the closed list "alpha flattened", "16 bit", "CMYK",
            "colour profile applied", "colour profile ignored", "animated: first frame", "end mark missing",
            "extra bytes before the end".
        shrink: px of the file per px of `pixels`; 1 unless `decode` was allowed to shrink the photo, and did.
        jpeg_step: mean step of the five lowest frequencies but the mean in the table of the first channel, levels;
            None for files that are no JPEG of one or three channels.
    """

    pixels: Pixels
    width: int
    height: int
    format: str
    orientation: int
    notes: tuple[str, ...]
    shrink: int = 1
    jpeg_step: float | None = None


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    background: Colour = (255, 255, 255),
    shrink: bool = False,
    isolated: bool = False,
) -> Decoded:
    """Decode one photo: EXIF orientation applied, transparency flattened, colours converted to sRGB.

    Pixels of files without an embedded colour profile are taken as sRGB, as are those whose profile is damaged (with
    a note). 16-bit channels keep their high byte. A file that lacks only its end mark decodes, with a note.

    Args:
        data: the file's bytes.
        max_pixels: limit on width x height, at least 1; protects memory.
        background: colour under transparent pixels.
        shrink: decode JPEG and PNG over the limit at 1/2, 1/4 or 1/8 of their size: by the scaling of the DCT,
            or as means of the inflated rows.
        isolated: decode in another process, which a photo may crash; always done for `ISOLATED_FORMATS`.

    Raises:
        DecodeError: the reason, one of "empty file", "not an image", "truncated", "corrupt data", "no pixels: WxH",
            "too many pixels: WxH", "too much work: WHAT", "unsupported pixels: MODE", what to install to read this
            format (`signatures.REQUIREMENTS`), or a reason of `curate.decode.boundary` or `curate.decode.isolated`. No
            other exception is caused by the bytes, whatever they are.
        ValueError: `max_pixels` is less than 1.
    """
    return to_decoded(read_raster(data, max_pixels, shrink, isolated=isolated), background)


def read_raster(data: bytes, max_pixels: int = MAX_PIXELS, shrink: bool = False, *, isolated: bool = False) -> Raster:
    """Read the pixels of a photo as the file stores them; arguments and errors as of `decode`."""
    if max_pixels < 1:
        raise ValueError(f"max_pixels={max_pixels}: choose at least 1")
    if not data:
        raise DecodeError("empty file")
    if isolated or format_of(data[:HEAD_BYTES]) in ISOLATED_FORMATS:
        return isolated_decoder.read_raster(data, min(max_pixels, 2**63), shrink)
    with decoder_errors():
        return read_raster_here(data, max_pixels, shrink)


def read_raster_here(data: bytes, max_pixels: int, shrink: bool) -> Raster:
    """Read in this process, whatever the format; exceptions of every kind."""
    image_format = format_of(data[:HEAD_BYTES])
    if shrink and image_format in SHRINKING:
        return SHRINKING[image_format](data, max_pixels, True)
    return READERS.get(image_format or "", pillow.read)(data, max_pixels)


def to_decoded(raster: Raster, background: Colour = (255, 255, 255)) -> Decoded:
    """Convert colours, flatten transparency and turn a raster upright, see `decode`."""
    with decoder_errors():
        return _to_decoded(raster, background)


def _to_decoded(raster: Raster, background: Colour) -> Decoded:
    pixels, notes = raster.pixels, list(raster.notes)
    if raster.profile is not None:
        pixels, note = to_srgb(pixels, raster.profile)
        notes += [note] if note else []
    if pixels.ndim == 2:
        import cv2  # not imported by the isolated processes, which only read rasters

        pixels = np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2RGB), np.uint8)
    elif pixels.shape[2] == 4:
        if pixels[..., 3].min() < 255:
            notes.append("alpha flattened")
            pixels = flatten_alpha(pixels, background)
        else:
            pixels = pixels[..., :3]
    pixels = np.ascontiguousarray(upright(pixels, raster.orientation))
    height, width = pixels.shape[:2]
    return Decoded(
        pixels, width, height, raster.format, raster.orientation, tuple(notes), raster.shrink, raster.jpeg_step
    )
