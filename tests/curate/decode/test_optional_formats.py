"""AVIF, HEIC and JPEG XL: decoded where their library is installed, otherwise the reason names what to install."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image, features

from curate.decode import DecodeError, decode, heif
from curate.decode import photo as photo_module
from curate.decode.jxl import _size
from curate.decode.signatures import REQUIREMENTS, format_of
from tests.curate.decode.files import save

jxl = pytest.mark.skipif(not imagecodecs.JPEGXL.available, reason="imagecodecs has no libjxl")
HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(99)


def reason(data: bytes, max_pixels: int = 10**6) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(data, max_pixels=max_pixels)
    return str(caught.value)


def test_formats_are_recognised_by_their_first_bytes() -> None:
    assert format_of(HEIC) == "HEIF"
    assert format_of(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "AVIF"
    assert format_of(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf") == "HEIF"
    for brand in (b"isom", b"mp42", b"qt  ", b"M4V ", b"3gp4"):
        assert format_of(b"\0\0\0\x1cftyp" + brand + b"\0\0\0\0mif1avifmiaf") is None
    for other in (b"", b"RIFF\0\0\0\0AVI LIST", b"\x1aE\xdf\xa3", b"ftyp", b"\0\0\0\x1cftyp", b"<svg"):
        assert format_of(other) is None


@pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")
def test_avif(photo: Image.Image) -> None:
    decoded = decode(save(photo, "AVIF", quality=95))
    assert decoded.format == "AVIF"
    assert np.abs(decoded.pixels.astype(int) - np.asarray(photo)).mean() < 3


@jxl
@pytest.mark.parametrize("container", [False, True])
def test_jpeg_xl(photo: Image.Image, container: bool) -> None:
    pixels = np.asarray(photo)
    data = imagecodecs.jpegxl_encode(pixels, lossless=True, usecontainer=container)
    decoded = decode(data)
    assert (decoded.format, decoded.width, decoded.height, decoded.notes) == ("JXL", 120, 96, ())
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert reason(data, 120 * 96 - 1) == "too many pixels: 120x96"
    assert {reason(data[:length]) for length in (13, 60, len(data) // 2, len(data) - 1)} <= {"truncated"}


@jxl
def test_other_pixels_of_jpeg_xl(photo: Image.Image) -> None:
    grey = np.asarray(photo.convert("L"))
    alpha = np.zeros_like(grey)
    for samples, expected, notes in [
        (grey, grey, ()),
        (np.dstack([grey, alpha]), alpha + 255, ("alpha flattened",)),
        (grey.astype(np.uint16) * 256 + 77, grey, ("16 bit",)),
        (np.stack([grey[..., None].repeat(3, 2)] * 2), grey, ("animated: first frame",)),
    ]:
        decoded = decode(imagecodecs.jpegxl_encode(samples, lossless=True))
        np.testing.assert_array_equal(decoded.pixels[..., 1], expected)
        assert decoded.notes == notes
    assert reason(imagecodecs.jpegxl_encode(grey.astype(np.float32) / 255)) == "unsupported pixels: float32"


@jxl
@pytest.mark.parametrize("size", [(1, 1), (8, 16), (256, 128), (257, 100), (75, 100), (90, 160), (40, 48), (9000, 1)])
def test_the_size_of_a_jpeg_xl_is_read_before_it_is_decoded(size: tuple[int, int]) -> None:
    for container in (False, True):
        data = imagecodecs.jpegxl_encode(np.zeros((*size, 3), np.uint8), usecontainer=container)
        assert _size(data) == (size[1], size[0])


def test_a_format_without_its_library_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_module, "ISOLATED_FORMATS", ())  # decoded in this process, which is patched
    monkeypatch.setattr(heif.importlib.util, "find_spec", lambda name: None)
    assert reason(HEIC) == "HEIC/HEIF: install swapset[heic] (pillow-heif) to read it"
    monkeypatch.setattr(imagecodecs, "JPEGXL", type("Missing", (), {"available": False}))
    assert reason(b"\xff\x0a" + bytes(20)) == REQUIREMENTS["JXL"]


def test_heic(photo: Image.Image) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(buffer, "HEIF", quality=95, exif=exif.tobytes())
    decoded = decode(buffer.getvalue())
    assert (decoded.format, decoded.width, decoded.height, decoded.orientation) == ("HEIF", 96, 120, 1)
    upright = np.asarray(photo.transpose(Image.Transpose.ROTATE_270))
    assert np.abs(decoded.pixels.astype(int) - upright).mean() < 4
