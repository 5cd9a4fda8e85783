"""Reads photos of all formats. Results are JPEG, PNG or WebP; a target of another format becomes PNG."""

from collections.abc import Callable

from curate.decode.boundary import decoder_errors
from curate.decode.photo import read_raster, to_decoded
from curate.decode.raster import Raster
from curate.errors import DecodeError
from manifests.file_names import with_suffix
from train.marks.containers import PhotoFormat
from train.swap.photo_files import jpeg, png, webp
from train.swap.photo_files.photo_file import PhotoFile

READERS: dict[str, Callable[[bytes, Raster, bool], PhotoFile]] = {
    "JPEG": jpeg.read,
    "PNG": png.read,
    "WEBP": webp.read,
}
"""Format -> its reader, called with the bytes, their raster, and `keep_location`."""

SUFFIXES: dict[PhotoFormat, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
}

_FORMAT_NAMES = {"HEIF": "HEIC/HEIF", "JXL": "JPEG XL"}
_WITH_EXIF = ("TIFF", "AVIF", "HEIF", "JXL")


def read_photo(data: bytes, keep_location: bool = False) -> PhotoFile:
    """Decode a photo. keep_location: keep the GPS location in EXIF.

    Raises DecodeError as `curate.decode.decode` does, and for animations.
    """
    raster = read_raster(data)
    if "animated: first frame" in raster.notes or (raster.format == "PNG" and b"acTL" in png.read_chunks(data)):
        raise DecodeError("animated: convert it to a video first")
    if raster.format in READERS:
        with decoder_errors():  # of headers
            return READERS[raster.format](data, raster, keep_location)
    decoded = to_decoded(raster)
    name = _FORMAT_NAMES.get(decoded.format, decoded.format)
    without = " without EXIF" if decoded.format in _WITH_EXIF else ""
    note = f"results in {name} are not supported: written as PNG{without}"
    return PhotoFile(decoded.pixels, "PNG", (note, *decoded.notes), png.encode_samples)


def output_name(name: str, format: PhotoFormat) -> str:
    """The file name of a result: a suffix of `format` is added where `name` has none.

    A name that would be too long with the suffix is shortened, see `manifests.file_names.with_suffix`.
    """
    if name.lower().endswith(SUFFIXES[format]):
        return name
    folder, slash, file = name.rpartition("/")
    return folder + slash + with_suffix(file, SUFFIXES[format][0])
