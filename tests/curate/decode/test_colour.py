"""Colours: transparency, ICC profiles and CMYK become sRGB."""

import numpy as np
import pytest
from PIL import Image

from curate.decode import decode
from tests.curate.decode.files import red_green_profile, save, srgb_profile


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 200, 30)])
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_flattened_on_the_background(
    photo: Image.Image, background: tuple[int, int, int], format: str
) -> None:
    alpha = np.tile(np.linspace(0, 255, 120).astype(np.uint8), (96, 1))
    rgba = np.dstack([np.asarray(photo), alpha])
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    decoded = decode(save(Image.fromarray(rgba), format, **options), background=background)
    share = alpha[..., None] / 255
    expected = np.floor(np.asarray(photo) * share + np.array(background) * (1 - share) + 0.5)
    assert decoded.notes == ("alpha flattened",)
    np.testing.assert_array_equal(decoded.pixels, expected)


def test_grey_with_alpha_is_flattened(photo: Image.Image) -> None:
    half = np.dstack([np.asarray(photo.convert("L")), np.full((96, 120), 128, np.uint8)])
    assert decode(save(Image.fromarray(half), "PNG")).notes == ("alpha flattened",)


def test_a_transparent_palette_entry_becomes_background(photo: Image.Image) -> None:
    palette = photo.quantize(16)
    index = palette.getpixel((0, 0))
    decoded = decode(save(palette, "PNG", transparency=index))
    assert decoded.notes == ("alpha flattened",)
    transparent = np.asarray(palette) == index
    np.testing.assert_array_equal(decoded.pixels[transparent], 255)
    np.testing.assert_array_equal(decoded.pixels[~transparent], np.asarray(palette.convert("RGB"))[~transparent])


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_a_colour_profile_is_converted_to_srgb(photo: Image.Image, format: str) -> None:
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    decoded = decode(save(photo, format, icc_profile=red_green_profile(), **options))
    assert decoded.notes == ("colour profile applied",)
    exchanged = np.asarray(photo)[..., [1, 0, 2]].astype(int)
    assert np.abs(decoded.pixels - exchanged).max() <= (12 if format == "JPEG" else 2)


@pytest.mark.parametrize(
    ("profile", "notes"), [(srgb_profile(), ()), (b"not a profile", ("colour profile ignored",))], ids=["srgb", "bad"]
)
def test_an_srgb_or_damaged_profile_changes_no_pixel(
    photo: Image.Image, profile: bytes, notes: tuple[str, ...]
) -> None:
    decoded = decode(save(photo, "PNG", icc_profile=profile))
    assert decoded.notes == notes
    np.testing.assert_array_equal(decoded.pixels, np.asarray(photo))


def test_cmyk_jpeg_is_decoded_with_or_without_the_adobe_marker(photo: Image.Image) -> None:
    data = save(photo.convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    unmarked = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert b"Adobe" not in unmarked
    for file in (data, unmarked):
        decoded = decode(file)
        assert decoded.notes == ("CMYK",)
        assert np.abs(decoded.pixels.astype(int) - np.asarray(photo)).mean() < 2
