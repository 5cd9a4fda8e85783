"""EXIF orientation in every format that carries it."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

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
