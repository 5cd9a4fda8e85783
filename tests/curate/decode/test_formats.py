"""Intact files of every format decode to the pixels that Pillow gives."""

import io
import threading

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from curate.decode import decode
from curate.decode.pillow import PILLOW_FORMATS
from tests.curate.decode.files import png, red_green_profile, save


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lossless_formats_give_the_exact_pixels(photo: Image.Image, format: str, mode: str) -> None:
    image = photo.convert(mode)
    if format == "GIF":
        image = image.quantize(64) if mode == "RGB" else image
    options = {"lossless": True} if format == "WEBP" else {}
    decoded = decode(save(image, format, **options))
    assert (decoded.format, decoded.width, decoded.height, decoded.notes) == (format, 120, 96, ())
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.flags.c_contiguous
    np.testing.assert_array_equal(decoded.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 5}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_equals_pillow(photo: Image.Image, mode: str, options: dict[str, int]) -> None:
    data = save(photo.convert(mode), "JPEG", **options)
    decoded = decode(data)
    assert decoded.format == "JPEG"
    np.testing.assert_array_equal(decoded.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_jpeg_with_unusual_subsampling_is_decoded(photo: Image.Image) -> None:
    data = simplejpeg.encode_jpeg(np.asarray(photo), 90, "RGB", "411")
    assert decode(data).pixels.shape == (96, 120, 3)


def test_one_bit_png(photo: Image.Image) -> None:
    bits = photo.convert("1")
    np.testing.assert_array_equal(decode(save(bits, "PNG")).pixels, np.asarray(bits.convert("RGB")))


def test_16_bit_grey_png_keeps_the_high_byte(photo: Image.Image) -> None:
    grey = np.asarray(photo.convert("L"))
    decoded = decode(save(Image.fromarray(grey.astype(np.uint16) * 256 + 77), "PNG"))
    assert decoded.notes == ("16 bit",)
    np.testing.assert_array_equal(decoded.pixels[..., 1], grey)


def test_16_bit_rgb_png_keeps_the_high_byte(photo: Image.Image) -> None:
    rows = (np.asarray(photo) * np.uint16(256) + 200).astype(">u2")
    decoded = decode(png(120, 96, b"".join(b"\0" + row.tobytes() for row in rows), depth=16))
    assert decoded.notes == ("16 bit",)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(photo))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(photo: Image.Image, format: str) -> None:
    first, second = photo.quantize(64).convert("RGB"), ImageOps.mirror(photo)
    options = {"lossless": True} if format == "WEBP" else {}
    decoded = decode(save(first, format, save_all=True, append_images=[second], **options))
    assert decoded.notes == ("animated: first frame",)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(first))


def test_every_enabled_format_exists_in_pillow() -> None:
    Image.init()
    assert not set(PILLOW_FORMATS) - set(Image.OPEN)


def test_concurrent_threads_decode_the_same_pixels(photo: Image.Image) -> None:
    files = [save(photo, "JPEG"), save(photo, "PNG", icc_profile=red_green_profile()), save(photo.quantize(9), "GIF")]
    expected = [decode(data).pixels for data in files]
    differing: list[int] = []

    def work() -> None:
        for _ in range(20):
            for index, data in enumerate(files):
                if not np.array_equal(decode(data).pixels, expected[index]):
                    differing.append(index)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not differing
