"""File formats of results, and how a photo's format is recognised."""

from typing import Literal

PhotoFormat = Literal["JPEG", "PNG", "WEBP"]
VideoFormat = Literal["mp4", "mov", "matroska", "webm"]
Container = PhotoFormat | VideoFormat
"""Format of a result: photos as Pillow names them, videos as FFmpeg's muxers are called."""

PHOTO_FORMATS: frozenset[PhotoFormat] = frozenset({"JPEG", "PNG", "WEBP"})
VIDEO_FORMATS: frozenset[VideoFormat] = frozenset({"mp4", "mov", "matroska", "webm"})
ALL_FORMATS: frozenset[Container] = PHOTO_FORMATS | VIDEO_FORMATS

MIME: dict[PhotoFormat, str] = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def photo_format(data: bytes) -> PhotoFormat | None:
    """The format that these bytes begin like; None for all but JPEG, PNG and WebP."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(PNG_SIGNATURE):
        return "PNG"
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
