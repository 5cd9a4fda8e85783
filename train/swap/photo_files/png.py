"""PNG with 8 or 16 bits: palettes become RGB or RGBA, grey of less than 8 bits becomes 8 bits.

Of 16-bit samples, networks and marks see the high byte, and its change is added to the sample: a sample that does not
change keeps all its bits.
"""

import zlib
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from curate.decode.orientation import upright
from curate.decode.raster import Raster
from train.swap.photo_files.header import clean_exif, to_stored
from train.swap.photo_files.photo_file import PhotoFile, Pixels, luma

Samples = npt.NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16."""

_KEPT_CHUNKS = (b"sRGB", b"gAMA", b"cHRM", b"iCCP", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"eXIf")
_PALETTE = 3  # colour type of the header
_COLOUR_TYPES = (2, 3, 6)
_HEADER_END = 33  # signature and IHDR


def read(data: bytes, raster: Raster, keep_location: bool = False) -> PhotoFile:
    """The photo of a PNG, given its bytes and their raster. Only samples of 16 bits are decoded again."""
    chunks = read_chunks(data)
    samples, notes = _samples(data, raster)
    samples = np.ascontiguousarray(upright(samples, raster.orientation))
    deep = samples.dtype == np.uint16
    has_alpha = samples.shape[2] in (2, 4)
    colour = samples[..., :-1] if has_alpha else samples
    old = (colour >> 8 if deep else colour).astype(np.uint8)
    pixels = np.ascontiguousarray(np.broadcast_to(old, (*old.shape[:2], 3)))

    if b"eXIf" in chunks:
        exif, exif_notes = clean_exif(chunks[b"eXIf"], keep_location)
        chunks[b"eXIf"], notes = exif.removeprefix(b"Exif\0\0"), (*notes, *exif_notes)
    orientation = raster.orientation if chunks.get(b"eXIf") else 1

    def encode(new: Pixels) -> bytes:
        result: Samples = luma(new)[..., None] if colour.shape[2] == 1 else new
        if deep:
            change = (result.astype(np.int32) - old) * 257
            result = np.clip(colour + change, 0, 65535).astype(np.uint16)
        stored = to_stored(np.concatenate([result, samples[..., -1:]], 2) if has_alpha else result, orientation)
        return _with_chunks(encode_samples(stored[..., 0] if stored.shape[2] == 1 else stored), chunks)

    return PhotoFile(pixels, "PNG", notes, encode)


def encode_samples(samples: Samples) -> bytes:
    """Encode samples (H, W) or (H, W, C) as a PNG."""
    return bytes(imagecodecs.png_encode(samples, 6))


def read_chunks(png: bytes) -> dict[bytes, bytes]:
    """The content of each type of chunk, of the last one where there are several; empty for IDAT."""
    chunks, at = {}, 8
    while at + 8 <= len(png):
        length, name = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        chunks[name] = b"" if name == b"IDAT" else png[at + 8 : at + 8 + length]
        at += 12 + length
    return chunks


def _samples(data: bytes, raster: Raster) -> tuple[Samples, tuple[str, ...]]:
    """The samples as stored, (H, W, C) with 1 to 4 channels, and notes on what is not kept."""
    depth, colour_type = data[24], data[25]
    notes: tuple[str, ...] = ()
    samples: Samples
    if depth == 16:
        samples = imagecodecs.png_decode(data)
    else:
        samples = raster.pixels
        if colour_type not in _COLOUR_TYPES and samples.ndim == 3:  # grey with alpha
            samples = samples[..., [0, 3]]
        if colour_type == _PALETTE:
            notes = ("palette: written as RGB",)
        elif depth < 8:
            notes = (f"{depth} bit: written as 8 bit",)
    return (samples[..., None] if samples.ndim == 2 else samples), notes


def _with_chunks(png: bytes, chunks: dict[bytes, bytes]) -> bytes:
    """A PNG with the kept chunks of the original inserted behind its header."""
    added = b""
    for name in _KEPT_CHUNKS:
        if content := chunks.get(name):
            checksum = zlib.crc32(name + content).to_bytes(4, "big")
            added += len(content).to_bytes(4, "big") + name + content + checksum
    return png[:_HEADER_END] + added + png[_HEADER_END:]
