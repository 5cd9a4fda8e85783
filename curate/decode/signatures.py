"""The format of a photo by its first bytes, and the package that reads formats which are optional."""

HEAD_BYTES = 64
"""As many first bytes as `format_of` uses."""

_SIGNATURES = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # with 64-bit offsets
    b"MM\0+": "TIFF",
    b"\xff\x0a": "JXL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JXL",
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_IMAGE_BRANDS = {b"mif1", b"mif2", b"msf1"}  # of either codec: the compatible brands decide

REQUIREMENTS = {
    "AVIF": "AVIF: install Pillow 11.3 or newer to read it",
    "HEIF": "HEIC/HEIF: install swapset[heic] (pillow-heif) to read it",
    "JXL": "JPEG XL: install a build of imagecodecs with libjxl to read it",
}
"""Formats that are not readable everywhere -> what to install."""


def format_of(head: bytes) -> str | None:
    """The photo format of a file by its first bytes: Pillow's name, "HEIF" or "JXL"; None for all other files."""
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return _iso_media_format(head) if head[4:8] == b"ftyp" else None


def _iso_media_format(head: bytes) -> str | None:
    """The photo format of an ISO base media file (ISO/IEC 14496-12) by its brands; None for videos."""
    major, end = head[8:12], min(int.from_bytes(head[:4], "big"), HEAD_BYTES)
    if major in _IMAGE_BRANDS:
        compatible = {head[at : at + 4] for at in range(16, end, 4)}
        return "AVIF" if compatible & _AVIF_BRANDS else "HEIF"
    if major in _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if major in _HEIF_BRANDS else None
