"""Reads photos of all formats. BMP, GIF, TIFF and others, which cannot carry the marks, are encoded as PNG."""

from collections.abc import Callable

from curate.decode import Decoded, decode
from curate.errors import DecodeError
from train.marks.containers import PhotoFormat
from train.swap.photo_files import jpeg, png, webp
from train.swap.photo_files.photo_file import PhotoFile

READERS: dict[str, Callable[[bytes, Decoded], PhotoFile]] = {"JPEG": jpeg.read, "PNG": png.read, "WEBP": webp.read}
SUFFIXES: dict[PhotoFormat, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
}


def read_photo(data: bytes) -> PhotoFile:
    """Decode a photo. Raises DecodeError as `curate.decode.decode` does, and for animations."""
    decoded = decode(data)
    if "animated: first frame" in decoded.notes or (decoded.format == "PNG" and b"acTL" in png.read_chunks(data)):
        raise DecodeError("animated: convert it to a video first")
    if decoded.format in READERS:
        return READERS[decoded.format](data, decoded)
    note = f"{decoded.format} cannot carry the marks: written as PNG"
    return PhotoFile(decoded.pixels, "PNG", (note, *decoded.notes), png.encode_samples)


def output_name(name: str, format: PhotoFormat) -> str:
    """The file name of a result: a suffix of `format` is added where `name` has none."""
    return name if name.lower().endswith(SUFFIXES[format]) else name + SUFFIXES[format][0]
