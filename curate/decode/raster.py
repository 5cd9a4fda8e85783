"""Pixels as a file stores them, before colours and orientation are normalised, and the limits on their number."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.errors import DecodeError

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
"""Red, green, blue, each 0 to 255."""

MAX_PIXELS = 50_000_000
"""Default limit on width x height."""

BYTES_PER_PIXEL = 8
"""Memory that decoding takes at its peak: the decoder's RGBA, and RGB."""
_BAND_PIXELS = 1 << 17  # temporary arrays fit into the cache
on_size: Callable[[int, int], None] | None = None
"""Called with every size that passes `check_size`: an isolated process adapts its limits to the photo."""


@dataclass(slots=True)
class Raster:
    """What a format's reader returns.

    Attributes:
        pixels: uint8 (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, also for grey with alpha; not yet rotated.
        format: format by content, with Pillow's names: "JPEG", "PNG", "WEBP", ...
        orientation: EXIF orientation 1..8 that remains to be applied.
        profile: embedded ICC profile that remains to be applied, None where there is none.
        notes: see `curate.decode.photo.Decoded`.
        shrink: px of the file per px of `pixels`, 1 unless the photo was decoded scaled down.
        jpeg_step: see `curate.decode.photo.Decoded`.
    """

    pixels: Pixels
    format: str
    orientation: int = 1
    profile: bytes | None = None
    notes: tuple[str, ...] = ()
    shrink: int = 1
    jpeg_step: float | None = None


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Check the size that a header declares, before memory is allocated for it.

    Raises:
        DecodeError: "no pixels: WxH" or "too many pixels: WxH".
    """
    if width < 1 or height < 1:
        raise DecodeError(f"no pixels: {width}x{height}")
    if width * height > max_pixels:
        raise DecodeError(f"too many pixels: {width}x{height}")
    if on_size is not None:
        on_size(width, height)


def shrink_factor(width: int, height: int, max_pixels: int) -> int:
    """Return the factor 1, 2, 4 or 8 by which both sides must shrink to the limit, sizes rounded up; 1 if none does."""
    return next((k for k in (1, 2, 4, 8) if -(-width // k) * -(-height // k) <= max_pixels), 1)


def limit_note(reason: str, max_pixels: int) -> str:
    """Return what to add to the reason of a photo that is over the pixel limit: the option, and what it would take.

    "" for other reasons, and where memory rather than the limit was too small.
    """
    if not reason.startswith("too many pixels") or "memory" in reason:
        return ""
    size = re.match(r"too many pixels: (\d+)x(\d+)", reason)
    gigabytes = int(size[1]) * int(size[2]) * BYTES_PER_PIXEL / 1e9 if size else 0.0
    memory = f"; decoding it takes {gigabytes:,.1f} GB of memory" if gigabytes >= 0.1 else ""
    return f" (limit: --max-pixels {max_pixels}{memory})"


def bands(height: int, width: int) -> Iterator[slice]:
    """Yield slices of consecutive rows that together are all rows: temporary arrays of one are small."""
    step = max(1, _BAND_PIXELS // max(1, width))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))
