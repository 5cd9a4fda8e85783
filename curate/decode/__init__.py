"""Decoding: the bytes of a photo file -> RGB uint8 (H, W, 3) as a viewer displays it, or the reason why not.

Input: file bytes of any supported format. Output: `Decoded`, or a `DecodeError` whose text is the reason.
To add a format: name it in `pillow.PILLOW_FORMATS` if Pillow reads it; otherwise, or for a faster reader, write a
module with `read(data, max_pixels) -> Raster`, add it to `photo.READERS`, and its first bytes to `signatures`.
"""

from curate.decode.photo import Decoded, decode
from curate.decode.raster import MAX_PIXELS, Colour, Pixels, limit_note
from curate.errors import DecodeError

__all__ = ["MAX_PIXELS", "Colour", "DecodeError", "Decoded", "Pixels", "decode", "limit_note"]
