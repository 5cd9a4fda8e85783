"""EXIF orientation in every format, type and place that carries it."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from curate.decode import decode
from tests.curate.decode.files import save


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(photo: Image.Image, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(photo, format, exif=exif)
    decoded = decode(data)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decoded.pixels, np.asarray(expected.convert("RGB")))
    assert (decoded.width, decoded.height) == expected.size == ((96, 120) if orientation >= 5 else (120, 96))
    if format != "TIFF":
        assert decoded.orientation == orientation


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + bytes(20), b"junk" * 9]
)
def test_damaged_exif_is_ignored(photo: Image.Image, exif: bytes) -> None:
    assert decode(save(photo, "JPEG", exif=b"Exif\0\0" + exif)).orientation == 1


def exif_block(order: str, field_type: int, value: int) -> bytes:
    """An EXIF block with the orientation as an integer of this TIFF type."""
    code = {1: "B3x", 3: "H2x", 4: "I", 6: "b3x", 8: "h2x", 9: "i"}[field_type]
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, 1)
    return head + struct.pack(f"{order}HHI{code}I", 0x0112, field_type, 1, value, 0)


@pytest.mark.parametrize("field_type", [1, 3, 4, 6, 8, 9])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_may_have_any_integer_type(
    photo: Image.Image, format: str, order: str, field_type: int
) -> None:
    decoded = decode(save(photo, format, exif=b"Exif\0\0" + exif_block(order, field_type, 6)))
    assert (decoded.orientation, decoded.width) == (6, 96)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_a_raw_profile_in_a_png(photo: Image.Image, name: str, compressed: bool) -> None:
    digits = (b"Exif\0\0" + exif_block("<", 3, 8)).hex()
    lines = "\n".join(digits[k : k + 72] for k in range(0, len(digits), 72))
    texts = PngInfo()
    texts.add_text(f"Raw profile type {name}", f"\n{name.lower()}\n{len(digits) // 2:8d}\n{lines}\n", zip=compressed)
    decoded = decode(save(photo, "PNG", pnginfo=texts))
    assert (decoded.orientation, decoded.width) == (8, 96)


def test_a_damaged_raw_profile_is_ignored(photo: Image.Image) -> None:
    texts = PngInfo()
    texts.add_text("Raw profile type exif", "\nexif\n  12\nnot hex")
    assert decode(save(photo, "PNG", pnginfo=texts)).orientation == 1


XMP = '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def test_xmp_counts_where_there_is_no_exif(photo: Image.Image) -> None:
    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", XMP)
    for data in (save(photo, "PNG", pnginfo=texts), save(photo, "JPEG", xmp=XMP.encode()),
                 save(photo, "WEBP", xmp=XMP.encode())):  # fmt: skip
        assert decode(data).orientation == 6
    assert decode(save(photo, "JPEG", xmp=XMP.encode(), exif=b"Exif\0\0" + exif_block("<", 3, 3))).orientation == 3
