"""Damaged files give a short reason from a closed list, or the pixels of the intact file."""

import struct

import numpy as np
import pytest
from PIL import Image

from curate.decode import decode
from curate.errors import DecodeError
from tests.curate.decode.files import png, save


def reason(data: bytes, **options: int) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(data, **options)
    return str(caught.value)


def patched(data: bytes, at: int, replacement: bytes) -> bytes:
    return data[:at] + replacement + data[at + len(replacement) :]


GREY = Image.new("L", (16, 16))
JPEG, GIF, BMP = save(GREY.convert("RGB"), "JPEG"), save(GREY, "GIF"), save(GREY, "BMP")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"<!doctype html><title>404</title>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"\xff\xd8", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (png(40_000, 40_000, bytes(1000)), "too many pixels: 40000x40000"),
        (png(0x7FFFFFFF, 0x7FFFFFFF, bytes(1000)), "too many pixels: 2147483647x2147483647"),
        (png(0, 10, bytes(1000)), "no pixels: 0x10"),
        (patched(JPEG, JPEG.index(b"\xff\xc0") + 5, b"\xea\x60\xc3\x50"), "too many pixels: 50000x60000"),
        (patched(GIF, 6, struct.pack("<HH", 65_000, 65_000)), "too many pixels: "),
        (patched(BMP, 18, struct.pack("<ii", 8_000, 8_000)), "too many pixels: 8000x8000"),
    ],
    ids=["empty", "html", "eps", "jpeg start", "png start", "png", "png 2^31", "png zero", "jpeg", "gif", "bmp"],
)  # fmt: skip
def test_reason_of_the_header(data: bytes, expected: str) -> None:
    assert reason(data).startswith(expected)


def test_the_pixel_limit_is_inclusive_and_has_bounds(photo: Image.Image) -> None:
    data = save(photo, "PNG")
    assert decode(data, max_pixels=120 * 96).width == 120
    assert reason(data, max_pixels=120 * 96 - 1) == "too many pixels: 120x96"
    with pytest.raises(ValueError, match="choose at least 1"):
        decode(data, max_pixels=0)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_cut_anywhere_is_truncated_or_intact(photo: Image.Image, options: dict[str, bool], mode: str) -> None:
    data = save(photo.convert(mode), "JPEG", **options)
    intact = decode(data).pixels
    accepted, reasons = 0, set()
    for length in [*range(2, len(data), 41), *range(len(data) - 12, len(data))]:
        try:
            decoded = decode(data[:length])
            accepted += 1
            np.testing.assert_array_equal(decoded.pixels, intact)
        except DecodeError as error:
            reasons.add(str(error))
    assert reasons == {"truncated"}
    assert accepted <= 4


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_other_formats_cut_anywhere_are_refused_or_intact(photo: Image.Image, format: str) -> None:
    data = save(photo, format)
    intact = decode(data).pixels
    refused = 0
    lengths = range(20, len(data), max(1, len(data) // 60))
    for length in lengths:
        try:
            np.testing.assert_array_equal(decode(data[:length]).pixels, intact)
        except DecodeError:
            refused += 1
    assert refused >= 0.95 * len(lengths)


def test_a_jpeg_with_a_wrong_end_is_repaired(photo: Image.Image) -> None:
    data = save(photo, "JPEG")
    cases = {
        "end mark missing": data[:-2],
        "extra bytes before the end": data[:-2] + bytes(40) + data[-2:],
    }
    for note, damaged in cases.items():
        decoded = decode(damaged)
        assert decoded.notes == (note,)
        np.testing.assert_array_equal(decoded.pixels, decode(data).pixels)
    assert decode(data + b"appended by a camera" * 9).notes == ()


@pytest.mark.parametrize(
    ("format", "min_refused"), [("PNG", 50), ("JPEG", 10), ("WEBP", 0), ("TIFF", 0), ("GIF", 0), ("BMP", 0)]
)
def test_overwritten_bytes_give_a_known_reason_or_an_image(photo: Image.Image, format: str, min_refused: int) -> None:
    """A PNG's checksums reveal all damage to pixels; a JPEG has none, so only invalid codes are detected."""
    known = {"not an image", "truncated", "corrupt data", "no pixels", "too many pixels", "unsupported pixels"}
    generator = np.random.default_rng(7)
    data = save(photo, format)
    reasons = []
    for _ in range(60):
        damaged = patched(data, int(generator.integers(0, len(data) - 8)), generator.bytes(8))
        try:
            pixels = decode(damaged).pixels
            assert format != "PNG" or np.array_equal(pixels, decode(data).pixels)
        except DecodeError as error:
            reasons.append(str(error).partition(":")[0])
    assert set(reasons) <= known
    assert len(reasons) >= min_refused
