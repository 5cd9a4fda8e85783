"""One photo of a collection, its name as text, and what every kind of collection can do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote_to_bytes

PHOTO_EXTENSIONS = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
MAX_FILE_BYTES = 256 << 20
"""A larger file is refused unread: no photo of a face needs it, and reading it could exhaust memory."""

_NEEDS_ENCODING = re.compile("[\udc80-\udcff\x00-\x1f\x7f]|%(?=[0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One source photo, listed but not opened.

    `image_id`: path inside the source, see `encode_name`; unique in the source. `identity`: whose photo it is.
    `size`: bytes. `mtime_ns`: last change. `split`: "train", "test" or None.
    `landmarks`: x0, y0, ... of the five points in source pixels, only where the source brings plausible ones.
    `box`: (x0, y0, x1, y1) of the face in source pixels, where the source brings one.
    `location`: the source's own note of where the bytes lie (relative path, or tar offset); opaque to others.
    `refusal`: why it cannot be read (broken link, tar member that escapes, ...); None for a photo that can.
    """

    image_id: str
    identity: str
    size: int
    mtime_ns: int
    location: str | int
    split: str | None = None
    landmarks: tuple[float, ...] | None = None
    box: tuple[float, float, float, float] | None = None
    refusal: str | None = None


class Source(Protocol):
    """A photo collection, listed one identity at a time. Can be pickled, and read from many threads at once."""

    kind: str
    root: Path

    def describe(self) -> str:
        """One line for the user: layout, identities, what else the source brings. Opens no photo."""

    def identities(self) -> list[str]:
        """All identities, sorted. One whose folder turns out to hold no photo is listed too."""

    def entries(self, identity: str) -> list[Entry]:
        """The photos of one identity, sorted by image_id, listed anew on each call. Unknown: an empty list."""

    def read(self, entry: Entry) -> bytes:
        """The photo's bytes. Raises DecodeError("cannot be read: ...") for a refused, vanished or failing file."""

    def ignored(self) -> dict[str, int]:
        """Files skipped because they are not photos, by extension, among the identities listed so far."""

    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        """What the source says of a person, as {identity: {"Name": ..., "Gender": ...}}; empty where nothing."""


def encode_name(raw: bytes) -> str:
    """A file path as text: UTF-8 as it is; any other byte, and control characters, as %XX.

    A '%' is itself encoded (%25) only where two hexadecimal digits follow it, so that ordinary names stay as they
    are and `decode_name` gives back every name exactly.
    """
    text = raw.decode("utf-8", "surrogateescape")
    return _NEEDS_ENCODING.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", text)


def decode_name(image_id: str) -> bytes:
    """The path that `encode_name` was given."""
    return unquote_to_bytes(image_id)


def extension(name: str) -> str:
    """The lower-case extension with its dot, "" where there is none: "A/b.JPG" gives ".jpg"."""
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if dot and stem else ""


def is_photo(name: str) -> bool:
    """Whether a file name ends as photos do."""
    return extension(name) in PHOTO_EXTENSIONS
