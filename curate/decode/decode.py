"""Bytes of a photo -> RGB uint8 (H, W, 3) as a viewer would show it, or the reason why not.

JPEGs of grey or three colours go through simplejpeg (libjpeg-turbo), plain 8-bit PNGs through imagecodecs (libspng),
everything else through Pillow. All three leave the interpreter lock while they work, so threads decode side by side.
The size that a header declares is checked before anything is allocated for it.
"""

import io
import re
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageCms, UnidentifiedImageError, features

from curate.errors import DecodeError

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

MAX_PIXELS = 50_000_000
MAX_PIXELS_LIMIT = 89_478_485
"""Pillow's own guard against bombs, which it applies to the whole process: `max_pixels` cannot go beyond it."""

PILLOW_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF") + ("AVIF",) * bool(features.check("avif"))
"""What Pillow may be asked to read. Its readers of documents, scripts and rarities stay shut."""

# What Pillow's readers are known to raise on damaged files, besides what they document.
_PILLOW_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError,
    RuntimeError, MemoryError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decoded:
    """`pixels`: uint8 (height, width, 3) RGB in sRGB, contiguous, upright; `format`: as Pillow names it, by content.

    `orientation`: the EXIF value, 1..8, that was applied. `notes`: what else had to be done, from the closed list
    "alpha flattened", "16 bit", "CMYK", "colour profile applied", "colour profile ignored", "animated: first frame",
    "end mark missing", "extra bytes before the end".
    """

    pixels: Pixels
    width: int
    height: int
    format: str
    orientation: int
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Raw:
    """Pixels as stored: uint8 (H, W), (H, W, 3) or (H, W, 4), the last with alpha."""

    pixels: Pixels
    format: str
    orientation: int = 1
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, background: Colour = (255, 255, 255)) -> Decoded:
    """Decode one photo: EXIF orientation applied, transparency flattened on `background`, colours in sRGB.

    An embedded colour profile other than sRGB is converted from; where it is damaged, the numbers are taken for sRGB,
    and a note says so. Files without one are taken for sRGB. 16-bit channels keep their high byte.

    Raises DecodeError with one of: "empty file", "not an image", "truncated", "corrupt data", "no pixels: WxH",
    "too many pixels: WxH", "unsupported pixels: MODE". A file that lacks only its end mark decodes, with a note.
    """
    if not 0 < max_pixels <= MAX_PIXELS_LIMIT:
        raise ValueError(f"max_pixels={max_pixels}: choose 1 to {MAX_PIXELS_LIMIT}")
    if not data:
        raise DecodeError("empty file")
    if data.startswith(b"\xff\xd8"):
        raw = _jpeg(data, max_pixels)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        raw = _png(data, max_pixels)
    else:
        raw = _pillow(data, max_pixels)

    pixels, notes = raw.pixels, list(raw.notes)
    if raw.profile is not None:
        pixels, note = _to_srgb(pixels, raw.profile)
        notes += [note] if note else []
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    elif pixels.shape[2] == 4:
        if pixels[..., 3].min() < 255:
            notes.append("alpha flattened")
            pixels = flatten(pixels, background)
        else:
            pixels = pixels[..., :3]
    pixels = np.ascontiguousarray(_upright(pixels, raw.orientation))
    height, width = pixels.shape[:2]
    return Decoded(pixels, width, height, raw.format, raw.orientation, tuple(notes))


def flatten(rgba: Pixels, background: Colour) -> Pixels:
    """Lay (H, W, 4) over `background`: (H, W, 3), each value rounded to nearest."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha + np.asarray(background, np.uint16) * (255 - alpha)
    # Division by 255 with rounding, exact for 16-bit products of two bytes.
    mixed += 128
    mixed += mixed >> 8
    mixed >>= 8
    return mixed.astype(np.uint8)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise DecodeError(f"no pixels: {width}x{height}")
    if width * height > max_pixels:
        raise DecodeError(f"too many pixels: {width}x{height}")


# ---- JPEG (ITU T.81) ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _JpegHeader:
    width: int = 0
    height: int = 0
    channels: int = 0
    exif: bytes = b""
    icc: bytes = b""
    one_scan: bool = False  # baseline, and its first scan holds every channel: nothing can follow it


def _jpeg_header(data: bytes) -> _JpegHeader:
    """Walk the segments up to the first scan."""
    header, at = _JpegHeader(), 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise DecodeError("corrupt data")
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD7:  # fill byte, or a marker without a segment
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if len(segment) != length - 2:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(segment) >= 6:  # SOFn
            _, header.height, header.width, header.channels = struct.unpack(">BHHB", segment[:6])
            header.one_scan = marker in (0xC0, 0xC1)
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0") and not header.exif:
            header.exif = segment[6:]
        elif marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0"):
            header.icc += segment[14:]
        elif marker == 0xDA:  # SOS
            if not header.channels:
                raise DecodeError("corrupt data")
            header.one_scan = header.one_scan and segment[:1] == bytes([header.channels])
            return header
        elif marker == 0xD9:
            raise DecodeError("corrupt data")
        at += 2 + length
    raise DecodeError("truncated")


_UNUSUAL = re.compile("subsampling|precision|process|SOF|arithmetic|colorspace", re.IGNORECASE)
"""What simplejpeg says of whole files that it does not read; anything else it says is damage."""


def _jpeg(data: bytes, max_pixels: int) -> _Raw:
    header = _jpeg_header(data)
    _check_size(header.width, header.height, max_pixels)
    if header.channels not in (1, 3):
        return _pillow(data, max_pixels)
    space = "GRAY" if header.channels == 1 else "RGB"
    notes: tuple[str, ...] = ()
    try:
        # strict: libjpeg otherwise fills what is missing with grey, and says so only in a warning.
        pixels = simplejpeg.decode_jpeg(data, space)
    except ValueError as error:
        mended = _mend(data, header, str(error))
        if mended is None:
            if _UNUSUAL.search(str(error)):
                return _pillow(data, max_pixels)
            raise DecodeError(_damage(data, str(error))) from error
        try:
            pixels = simplejpeg.decode_jpeg(mended[0], space)
        except ValueError:
            raise DecodeError(_damage(data, str(error))) from error
        notes = (mended[1],)
    return _Raw(pixels.reshape(pixels.shape[:2]) if space == "GRAY" else pixels, "JPEG", exif_orientation(header.exif),
                header.icc or None, notes)  # fmt: skip


def _damage(data: bytes, message: str) -> str:
    """What to call it. A file cut inside a later header is told from a damaged one by its missing end mark."""
    ended = data.rstrip(b"\0").endswith(b"\xff\xd9")
    return "corrupt data" if ended and "Premature" not in message else "truncated"


def _mend(data: bytes, header: _JpegHeader, message: str) -> tuple[bytes, str] | None:
    """A file that holds all its pixels and only ends wrongly, with its end put right; None for any other.

    Only for a single baseline scan, where the decoder notices every missing bit: a progressive file that lacks its
    last scans would pass as whole, only coarser.
    """
    if not header.one_scan:
        return None
    if message == "Premature end of JPEG file":
        return data + b"\xff\xd9", "end mark missing"
    surplus = re.fullmatch(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9", message)
    end = data.rfind(b"\xff\xd9")
    if surplus and end > 0:
        return data[: end - int(surplus[1])] + b"\xff\xd9", "extra bytes before the end"
    return None


def exif_orientation(exif: bytes) -> int:
    """The orientation 1..8 of an EXIF block (a TIFF header onwards), 1 where it has none or is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is not None:
            (start,) = struct.unpack_from(f"{order}I", exif, 4)
            (count,) = struct.unpack_from(f"{order}H", exif, start)
            for entry in range(start + 2, start + 2 + 12 * count, 12):
                tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
                if tag == 0x0112 and kind == 3:
                    return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


# ---- PNG (ISO/IEC 15948) --------------------------------------------------------------------------------------------


def _png(data: bytes, max_pixels: int) -> _Raw:
    """Grey, RGB or RGBA of 8 bits without a profile by libspng; every other PNG by Pillow."""
    if len(data) < 33:
        raise DecodeError("truncated")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if data[12:16] != b"IHDR":
        raise DecodeError("corrupt data")
    _check_size(width, height, max_pixels)
    at, kinds, exif, last = 8, set[bytes](), b"", (0, 0)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        kinds.add(kind)
        if at + 12 + length > len(data) and not kind == b"IEND":
            raise DecodeError("truncated")
        if kind == b"eXIf":
            exif = data[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            last = (at + 4, at + 8 + length)
        if kind == b"IEND":
            break
        at += 12 + length
    if b"IDAT" not in kinds:
        raise DecodeError("truncated" if b"IEND" not in kinds else "corrupt data")
    # The decoders stop reading when they have all pixels, before the checksum of the chunk that held the last ones.
    if zlib.crc32(memoryview(data)[slice(*last)]) != int.from_bytes(data[last[1] : last[1] + 4], "big"):
        raise DecodeError("corrupt data")
    if depth != 8 or colour not in (0, 2, 6) or kinds & {b"iCCP", b"tRNS", b"acTL"}:
        raw = _pillow(data, max_pixels)
        if depth == 16 and "16 bit" not in raw.notes:
            raw.notes = (*raw.notes, "16 bit")
        return raw
    try:
        pixels = imagecodecs.spng_decode(data)
    except imagecodecs.SpngError as error:
        raise DecodeError("truncated" if "end of stream" in str(error) else "corrupt data") from error
    return _Raw(pixels, "PNG", exif_orientation(exif), None, () if b"IEND" in kinds else ("end mark missing",))


# ---- everything else ------------------------------------------------------------------------------------------------


def _pillow(data: bytes, max_pixels: int) -> _Raw:
    try:
        with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
            _check_size(*image.size, max_pixels)
            return _from_pillow(image)
    except DecodeError:
        raise
    except UnidentifiedImageError as error:
        raise DecodeError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        count = re.search(r"\((\d+) pixels\)", str(error))
        raise DecodeError(f"too many pixels: {count[1] if count else 'over Pillow’s limit'}") from error
    except _PILLOW_ERRORS as error:
        text = str(error).lower()
        raise DecodeError("truncated" if "truncated" in text or "unexpected end" in text else "corrupt data") from error


def _from_pillow(image: Image.Image) -> _Raw:
    name, mode, notes = str(image.format), image.mode, []
    if getattr(image, "is_animated", False) and name != "TIFF":
        notes.append("animated: first frame")
    image.load()  # Pillow turns TIFFs upright by itself here
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")  # only now: PNG may have it after the pixels
    profile = image.info.get("icc_profile") or None
    if mode.startswith("I;16"):
        notes.append("16 bit")
        pixels = (np.asarray(image) >> 8).astype(np.uint8)
    elif mode == "CMYK":
        notes.append("CMYK")
        image, note = _cmyk(image, profile)
        notes += [note] if note else []
        pixels, profile = np.asarray(image), None
    elif mode in ("I", "F"):
        raise DecodeError(f"unsupported pixels: {mode}")
    elif image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
    else:
        pixels = np.asarray(image.convert("L" if mode in ("1", "L") else "RGB"))
    return _Raw(
        pixels, name.replace("MPO", "JPEG").replace("DIB", "BMP"), exif_orientation(exif), profile, tuple(notes)
    )


# ---- colour ---------------------------------------------------------------------------------------------------------


def _to_srgb(pixels: Pixels, profile: bytes) -> tuple[Pixels, str | None]:
    """Pixels in sRGB, alpha kept, and a note unless the profile is sRGB already."""
    if b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile:
        return pixels, None
    grey = pixels.ndim == 2
    colours = pixels if grey else np.ascontiguousarray(pixels[..., :3])
    try:
        transform = _transform(profile, "L" if grey else "RGB")
        converted = np.asarray(transform.apply(Image.fromarray(colours)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return pixels, "colour profile ignored"
    if not grey and pixels.shape[2] == 4:
        converted = np.concatenate([converted, pixels[..., 3:]], axis=2)
    return converted, "colour profile applied"


def _cmyk(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """CMYK to RGB by its profile, else by plain inversion; Pillow has undone the inverted storage all writers use."""
    if profile is not None:
        try:
            return _transform(profile, "CMYK").apply(image), "colour profile applied"
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image.convert("RGB"), "colour profile ignored"
    return image.convert("RGB"), None


@lru_cache(maxsize=64)  # a collection has few distinct profiles; a transform may be shared between threads
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", renderingIntent=intent)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation: rows and columns exchanged for 5..8, then flipped as its table says."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
