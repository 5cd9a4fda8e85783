"""File formats of results, and how a photo's format is recognised."""

from typing import Literal

from curate.decode.signatures import HEAD_BYTES, format_of

PhotoFormat = Literal["JPEG", "PNG", "WEBP"]
VideoFormat = Literal["mp4", "mov", "matroska", "webm", "avi", "flv"]
Container = PhotoFormat | VideoFormat
"""Format of a result: photos as Pillow names them, videos as FFmpeg's muxers are called."""

PHOTO_FORMATS: frozenset[PhotoFormat] = frozenset({"JPEG", "PNG", "WEBP"})
VIDEO_FORMATS: frozenset[VideoFormat] = frozenset({"mp4", "mov", "matroska", "webm", "avi", "flv"})
ALL_FORMATS: frozenset[Container] = PHOTO_FORMATS | VIDEO_FORMATS

_PHOTO_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
    "JXL": "image/jxl",
}

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JXL_CODESTREAM = b"\xff\x0a"
"""First bytes of a JPEG XL file that is a codestream alone (ISO/IEC 18181-1), which has no place for metadata."""


def photo_format(data: bytes) -> PhotoFormat | None:
    """The format that these bytes begin like; None for all but JPEG, PNG and WebP."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(PNG_SIGNATURE):
        return "PNG"
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def media_type(head: bytes) -> str | None:
    """The media type of a file that can carry content credentials, by its first HEAD_BYTES; None for all others.

    BMP, Matroska, WebM, FLV and JPEG XL without a container cannot.
    """
    if head.startswith(JXL_CODESTREAM):
        return None
    photo = format_of(head[:HEAD_BYTES])
    if photo is not None:
        return _PHOTO_TYPES.get(photo)
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    return "video/avi" if head[:4] == b"RIFF" and head[8:12] == b"AVI " else None
