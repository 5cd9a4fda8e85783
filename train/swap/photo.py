"""Bytes of a photo -> its pixels as a viewer shows them; new pixels -> bytes in the photo's own format.

Kept: format, size, EXIF orientation (the pixels are stored turned as they were, and the tag stays), EXIF without its
thumbnail, colour profile, resolution, alpha and bit depth. Pixel values are not converted between colour spaces:
networks see them as sRGB. Records of an earlier maker (XMP, content credentials) are not carried over.

- JPEG: the original's quantisation tables, at least those of quality 75, its chroma subsampling; so a second encoding
  loses little. Grey stays grey, CMYK becomes RGB.
- PNG: 8 and 16 bit. Palettes become RGB or RGBA, grey of less than 8 bit becomes 8 bit. 16-bit samples: the networks
  and marks work on the high byte, and its change is added to the sample, so what does not change keeps all its bits.
- WebP: lossless stays lossless, else quality 90.
- Everything else (BMP, GIF, TIFF, ...) is written as PNG, since it cannot carry the marks; a note says so.
"""

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from curate.decode import Decoded, decode
from curate.errors import DecodeError

Pixels = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

JPEG_FLOOR = 75
"""Quality whose quantisation tables are the coarsest that a result gets: coarser ones would wash out the watermark."""

WEBP_QUALITY = 90
SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"), "PNG": (".png",), "WEBP": (".webp",)}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in JPEG


@dataclass(frozen=True)
class Picture:
    """pixels: uint8 (H, W, 3) RGB, upright. format: of what `encode` gives: JPEG, PNG or WEBP. notes: what changes.

    encode: pixels of the same shape -> a file's bytes.
    """

    pixels: Pixels
    format: str
    notes: tuple[str, ...]
    encode: Callable[[Pixels], bytes]


def read_picture(data: bytes) -> Picture:
    """A photo's bytes -> Picture. Raises DecodeError as `curate.decode.decode` does, and for moving pictures."""
    decoded = decode(data)
    if "animated: first frame" in decoded.notes or (decoded.format == "PNG" and b"acTL" in _chunks(data)):
        raise DecodeError("a moving picture: convert it to a video first")
    if decoded.format == "JPEG":
        return _jpeg(data, decoded)
    if decoded.format == "PNG":
        return _png(data, decoded)
    if decoded.format == "WEBP":
        return _webp(data, decoded)
    note = f"{decoded.format} cannot carry the marks: written as PNG"
    return Picture(decoded.pixels, "PNG", (note, *decoded.notes), lambda new: bytes(imagecodecs.png_encode(new, 6)))


def name_for(name: str, format: str) -> str:
    """The file name, with a suffix of `format` added where it has none of those."""
    return name if name.lower().endswith(SUFFIXES[format]) else name + SUFFIXES[format][0]


def stored(pixels: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Upright pixels -> as they lie in a file of that EXIF orientation: what `decode` does, undone."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels.swapaxes(0, 1) if orientation >= 5 else pixels)


def upright(samples: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """The other way round."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def _jpeg(data: bytes, decoded: Decoded) -> Picture:
    with Image.open(io.BytesIO(data), formats=["JPEG", "MPO"]) as image:
        grey, cmyk, converted = image.mode == "L", image.mode == "CMYK", "colour profile applied" in decoded.notes
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        tables = {number: list(table) for number, table in image.quantization.items()}
        sampling = JpegImagePlugin.get_sampling(image)
        kept = _kept(image.info, with_profile=not cmyk)
        kept["progressive"] = bool(image.info.get("progressive"))
        pixels = decoded.pixels
        if converted and not cmyk:  # decode() went to sRGB: here the file's own numbers are wanted
            raw = np.asarray(image.convert("RGB"))
            pixels = np.asarray(upright(raw, decoded.orientation), np.uint8)
    first = tables.get(0, next(iter(tables.values())))
    finest = [
        np.minimum(mine, floor).tolist() for mine, floor in zip((first, tables.get(1, first)), _floor(), strict=True)
    ]
    notes = ("CMYK: written as RGB",) if cmyk else ()

    def encode(new: Pixels) -> bytes:
        laid = np.asarray(stored(new, decoded.orientation if "exif" in kept else 1), np.uint8)
        image = Image.fromarray(_grey(laid) if grey else laid)
        buffer = io.BytesIO()
        chroma = {} if grey else {"subsampling": 0 if cmyk or sampling < 0 else sampling}
        image.save(buffer, "JPEG", qtables=finest[:1] if grey else finest, **chroma, **kept)
        return buffer.getvalue()

    return Picture(pixels, "JPEG", notes, encode)


def _png(data: bytes, decoded: Decoded) -> Picture:
    chunks = _chunks(data)
    depth, kind = data[24], data[25]
    notes: tuple[str, ...] = ()
    samples: Samples
    if depth == 16:
        samples = imagecodecs.png_decode(data)
    else:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            mode = "RGB" if kind in (2, 3, 6) else "L"
            if image.has_transparency_data:
                mode += "A"
            samples = np.asarray(image.convert(mode))
        if kind == 3:
            notes = ("palette: written as RGB",)
        elif depth < 8:
            notes = (f"{depth} bit: written as 8 bit",)
    samples = upright(samples, decoded.orientation)  # type: ignore[assignment]
    if samples.ndim == 2:
        samples = samples[..., None]
    alpha = samples.shape[2] in (2, 4)
    colour = samples[..., :-1] if alpha else samples
    old = (colour >> 8 if depth == 16 else colour).astype(np.uint8)
    pixels = np.ascontiguousarray(np.broadcast_to(old, (*old.shape[:2], 3)))

    if b"eXIf" in chunks:
        chunks[b"eXIf"] = _without_thumbnail(chunks[b"eXIf"]).removeprefix(b"Exif\0\0")
    orientation = decoded.orientation if chunks.get(b"eXIf") else 1

    def encode(new: Pixels) -> bytes:
        laid: Samples = _grey(new)[..., None] if colour.shape[2] == 1 else new
        if depth == 16:
            change = (laid.astype(np.int32) - old) * 257
            laid = np.clip(colour + change, 0, 65535).astype(np.uint16)
        whole = stored(np.concatenate([laid, samples[..., -1:]], 2) if alpha else laid, orientation)
        if whole.shape[2] == 1:
            whole = whole[..., 0]
        return _with_chunks(bytes(imagecodecs.png_encode(whole, 6)), chunks)

    return Picture(pixels, "PNG", notes, encode)


def _webp(data: bytes, decoded: Decoded) -> Picture:
    lossless = data[12:16] == b"VP8L" or (data[12:16] == b"VP8X" and b"VP8L" in _riff(data))
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        kept = _kept(image.info, with_profile=True)
        samples = upright(np.asarray(image.convert("RGBA" if image.mode == "RGBA" else "RGB")), decoded.orientation)
    pixels = np.ascontiguousarray(samples[..., :3], np.uint8)

    def encode(new: Pixels) -> bytes:
        whole = np.concatenate([new, samples[..., 3:]], 2)
        image = Image.fromarray(np.asarray(stored(whole, decoded.orientation if "exif" in kept else 1), np.uint8))
        buffer = io.BytesIO()
        # exact: colours under full transparency are kept as well
        image.save(buffer, "WEBP", lossless=lossless, exact=True, quality=75 if lossless else WEBP_QUALITY, **kept)
        return buffer.getvalue()

    return Picture(pixels, "WEBP", (), encode)


def _kept(info: Mapping[Any, Any], with_profile: bool) -> dict[str, object]:
    """What of a file's header goes into the new one, as arguments of Pillow's `save`."""
    kept: dict[str, object] = {}
    if with_profile and info.get("icc_profile"):
        kept["icc_profile"] = info["icc_profile"]
    if info.get("dpi"):
        kept["dpi"] = info["dpi"]
    exif = info.get("exif")
    if isinstance(exif, bytes) and (exif := _without_thumbnail(exif)):
        kept["exif"] = exif
    return kept


def _without_thumbnail(exif: bytes) -> bytes:
    """An EXIF block without its second directory: the small picture there shows the original face, unmarked."""
    block = Image.Exif()
    try:
        block.load(exif)
        return block.tobytes()
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, IndexError):
        return b""  # damaged: then it is left out, orientation and all, and the pixels are stored upright


@lru_cache(maxsize=1)
def _floor() -> tuple[list[int], list[int]]:
    """libjpeg's tables of quality `JPEG_FLOOR`, luma and chroma."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=JPEG_FLOOR)
    with Image.open(buffer) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return list(image.quantization[0]), list(image.quantization[1])


def _grey(rgb: Pixels) -> Pixels:
    """(H, W, 3) -> (H, W), luma; equal channels keep their value."""
    luma: Pixels = np.rint(rgb @ _LUMA).astype(np.uint8)
    return luma


_CARRIED = (b"sRGB", b"gAMA", b"cHRM", b"iCCP", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"eXIf")


def _chunks(png: bytes) -> dict[bytes, bytes]:
    """Contents of each kind of a PNG's chunks, the last one where there are several."""
    found, at = {}, 8
    while at + 8 <= len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        found[kind] = b"" if kind == b"IDAT" else png[at + 8 : at + 8 + length]
        at += 12 + length
    return found


def _with_chunks(png: bytes, chunks: dict[bytes, bytes]) -> bytes:
    """A PNG with what says how to show the original's pixels put right behind its header."""
    added = b""
    for kind in _CARRIED:
        if content := chunks.get(kind):
            checksum = zlib.crc32(kind + content).to_bytes(4, "big")
            added += len(content).to_bytes(4, "big") + kind + content + checksum
    return png[:33] + added + png[33:]


def _riff(webp: bytes) -> set[bytes]:
    """Kinds of a WebP's chunks."""
    kinds, at = set(), 12
    while at + 8 <= len(webp):
        kinds.add(webp[at : at + 4])
        at += 8 + (length := int.from_bytes(webp[at + 4 : at + 8], "little")) + length % 2
    return kinds
