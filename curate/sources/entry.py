"""One photo of a source, and file names as text."""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

PHOTO_EXTENSIONS = frozenset(
    f".{name}"
    for name in "avif bmp gif heic heif hif jfif jpe jpeg jpg jxl png tif tiff webp".split()  # noqa: SIM905
)
MAX_FILE_BYTES = 256 << 20
"""Larger files are not read: no photo of a face needs more, and reading them could exhaust memory."""

_NEEDS_ENCODING = re.compile("[\udc80-\udcff\x00-\x1f\x7f]|%(?=[0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo of a source, listed but not opened.

    Attributes:
        image_id: Path inside the source (see `encode_name`); unique in the source.
        identity: The person, or `NO_IDENTITY`.
        size: Bytes.
        mtime_ns: Time of the last modification.
        location: Where the store finds the bytes (a relative path, an offset); opaque to others.
        split: "train", "test", "val" or None.
        landmarks: x0, y0, ..., x4, y4 in source pixels, where the source provides plausible ones.
        box: (x0, y0, x1, y1) of the face in source pixels, where the source provides one.
        refusal: Why the photo cannot be read (broken link, archive member outside the archive, ...), else None.
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

    def inputs(self) -> bytes:
        """Everything that is listed about the photo and on which its measurement depends."""
        key = (self.image_id, self.size, self.mtime_ns, self.split, self.landmarks, self.box, self.refusal)
        return repr((self.identity, *key)).encode("utf-8", "surrogateescape")

    def key(self) -> str:
        """Hash of `inputs`, 16 hex digits."""
        return hashlib.blake2b(self.inputs(), digest_size=8).hexdigest()


def encode_name(raw: bytes) -> str:
    """Encode a file path as text: UTF-8 as it is; any other byte, and control characters, as %XX.

    A '%' is encoded (%25) only where two hexadecimal digits follow it, so that ordinary names do not change and
    `decode_name` restores every name exactly.
    """
    text = raw.decode("utf-8", "surrogateescape")
    return _NEEDS_ENCODING.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", text)


def decode_name(image_id: str) -> bytes:
    """Return the path that `encode_name` encoded."""
    return unquote_to_bytes(image_id)


def join(folder: str, name: str) -> str:
    """Join a folder (may be "") and a name."""
    return f"{folder}/{name}" if folder else name


def extension(name: str) -> str:
    """Return the lower-case extension with its dot, "" where there is none: "A/b.JPG" gives ".jpg"."""
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if dot and stem else ""


def is_photo(name: str) -> bool:
    """Whether a file name has a photo's extension."""
    return extension(name) in PHOTO_EXTENSIONS
