"""Decoding: every kind of good file gives the right pixels, every kind of bad one a short stable reason."""

import io
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import skimage
from PIL import Image, ImageCms, ImageOps

from curate.decode.decode import MAX_PIXELS_LIMIT, PILLOW_FORMATS, decode
from curate.errors import DecodeError

ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A real photo, not square: 120 x 96."""
    return Image.open(ASTRONAUT).convert("RGB").crop((150, 0, 390, 192)).resize((120, 96))


def save(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def reason(data: bytes, **options: int) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(data, **options)
    return str(caught.value)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
        + png_chunk(b"IEND", b"")
    )


# ---- good files -----------------------------------------------------------------------------------------------------


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
def test_jpeg_equals_pillow(photo: Image.Image, options: dict[str, int]) -> None:
    data = save(photo, "JPEG", **options)
    decoded = decode(data)
    assert decoded.format == "JPEG"
    np.testing.assert_array_equal(decoded.pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_grey_jpeg(photo: Image.Image) -> None:
    data = save(photo.convert("L"), "JPEG")
    np.testing.assert_array_equal(decode(data).pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


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
def test_damaged_exif_is_passed_over(photo: Image.Image, exif: bytes) -> None:
    assert decode(save(photo, "JPEG", exif=b"Exif\0\0" + exif)).orientation == 1


def test_cmyk_jpeg_is_read_as_stored_inverted_with_or_without_adobes_marker(photo: Image.Image) -> None:
    data = save(photo.convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    unmarked = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert b"Adobe" not in unmarked
    for file in (data, unmarked):
        decoded = decode(file)
        assert decoded.notes == ("CMYK",)
        assert np.abs(decoded.pixels.astype(int) - np.asarray(photo)).mean() < 2


def test_sixteen_bit_png_keeps_the_high_byte(photo: Image.Image) -> None:
    grey = np.asarray(photo.convert("L"))
    decoded = decode(save(Image.fromarray(grey.astype(np.uint16) * 256 + 77), "PNG"))
    assert decoded.notes == ("16 bit",)
    np.testing.assert_array_equal(decoded.pixels[..., 1], grey)

    rows = (np.asarray(photo) * np.uint16(256) + 200).astype(">u2")
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", 120, 96, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    decoded = decode(data)
    assert decoded.notes == ("16 bit",)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(photo))


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


def test_grey_with_alpha_palette_with_transparency_and_one_bit(photo: Image.Image) -> None:
    half = np.dstack([np.asarray(photo.convert("L")), np.full((96, 120), 128, np.uint8)])
    assert decode(save(Image.fromarray(half), "PNG")).notes == ("alpha flattened",)
    palette = photo.quantize(16)
    index = palette.getpixel((0, 0))
    decoded = decode(save(palette, "PNG", transparency=index))
    assert decoded.notes == ("alpha flattened",)
    np.testing.assert_array_equal(decoded.pixels[np.asarray(palette) == index], 255)
    seen = np.asarray(palette) != index
    np.testing.assert_array_equal(decoded.pixels[seen], np.asarray(palette.convert("RGB"))[seen])
    bits = photo.convert("1")
    np.testing.assert_array_equal(decode(save(bits, "PNG")).pixels, np.asarray(bits.convert("RGB")))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(photo: Image.Image, format: str) -> None:
    first, second = photo.quantize(64).convert("RGB"), ImageOps.mirror(photo)
    options = {"lossless": True} if format == "WEBP" else {}
    decoded = decode(save(first, format, save_all=True, append_images=[second], **options))
    assert decoded.notes == ("animated: first frame",)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(first))


def wide_gamut_profile() -> bytes:
    """Display P3-like: an sRGB profile with the red and green columns exchanged, so that the effect is unmistakable."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    tags = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile).replace(b"sRGB", b"Else").replace("sRGB".encode("utf-16-be"), "Else".encode("utf-16-be"))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_a_colour_profile_is_converted_to_srgb(photo: Image.Image, format: str) -> None:
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    decoded = decode(save(photo, format, icc_profile=wide_gamut_profile(), **options))
    assert decoded.notes == ("colour profile applied",)
    swapped = np.asarray(photo)[..., [1, 0, 2]].astype(int)
    assert np.abs(decoded.pixels - swapped).max() <= (12 if format == "JPEG" else 2)


def test_an_srgb_profile_changes_nothing_and_a_damaged_one_is_ignored(photo: Image.Image) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decode(save(photo, "PNG", icc_profile=srgb))
    assert decoded.notes == ()
    np.testing.assert_array_equal(decoded.pixels, np.asarray(photo))
    decoded = decode(save(photo, "PNG", icc_profile=b"not a profile"))
    assert decoded.notes == ("colour profile ignored",)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(photo))


def test_every_format_asked_of_pillow_exists() -> None:
    Image.init()
    assert not set(PILLOW_FORMATS) - set(Image.OPEN)


# ---- bad files ------------------------------------------------------------------------------------------------------


def test_empty_and_not_an_image() -> None:
    assert reason(b"") == "empty file"
    assert reason(b"<!doctype html><title>404</title>") == "not an image"
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "not an image"
    assert reason(b"\xff\xd8") == "truncated"
    assert reason(b"\x89PNG\r\n\x1a\n") == "truncated"


def test_a_bomb_is_refused_by_its_header() -> None:
    assert reason(png_claiming(40_000, 40_000)) == "too many pixels: 40000x40000"
    assert reason(png_claiming(0x7FFFFFFF, 0x7FFFFFFF)) == "too many pixels: 2147483647x2147483647"
    assert reason(png_claiming(0, 10)) == "no pixels: 0x10"
    jpeg = bytearray(save(Image.new("RGB", (16, 16)), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60_000, 50_000)
    assert reason(bytes(jpeg)) == "too many pixels: 50000x60000"
    gif = bytearray(save(Image.new("L", (16, 16)), "GIF"))
    gif[6:10] = struct.pack("<HH", 65_000, 65_000)
    assert reason(bytes(gif)).startswith("too many pixels: ")
    bmp = bytearray(save(Image.new("RGB", (16, 16)), "BMP"))
    bmp[18:26] = struct.pack("<ii", 8_000, 8_000)
    assert reason(bytes(bmp)) == "too many pixels: 8000x8000"


def test_the_pixel_limit_is_inclusive_and_has_bounds(photo: Image.Image) -> None:
    data = save(photo, "PNG")
    assert decode(data, max_pixels=120 * 96).width == 120
    assert reason(data, max_pixels=120 * 96 - 1) == "too many pixels: 120x96"
    with pytest.raises(ValueError, match=f"choose 1 to {MAX_PIXELS_LIMIT}"):
        decode(data, max_pixels=0)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_cut_anywhere_is_truncated_or_whole(photo: Image.Image, options: dict[str, bool], mode: str) -> None:
    data = save(photo.convert(mode), "JPEG", **options)
    whole = decode(data).pixels
    accepted, reasons = 0, set()
    for length in [*range(2, len(data), 41), *range(len(data) - 12, len(data))]:
        try:
            decoded = decode(data[:length])
            accepted += 1
            np.testing.assert_array_equal(decoded.pixels, whole)
        except DecodeError as error:
            reasons.add(str(error))
    assert reasons == {"truncated"}
    assert accepted <= 4


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_other_formats_cut_anywhere_are_refused_or_whole(photo: Image.Image, format: str) -> None:
    data = save(photo, format)
    whole = decode(data).pixels
    refused = 0
    lengths = range(20, len(data), max(1, len(data) // 60))
    for length in lengths:
        try:
            np.testing.assert_array_equal(decode(data[:length]).pixels, whole)
        except DecodeError:
            refused += 1
    assert refused >= 0.95 * len(lengths)


def test_a_jpeg_that_only_lacks_its_end_mark_is_whole(photo: Image.Image) -> None:
    data = save(photo, "JPEG")
    whole = decode(data).pixels
    decoded = decode(data[:-2])
    assert decoded.notes == ("end mark missing",)
    np.testing.assert_array_equal(decoded.pixels, whole)
    decoded = decode(data[:-2] + bytes(40) + data[-2:])
    assert decoded.notes == ("extra bytes before the end",)
    np.testing.assert_array_equal(decoded.pixels, whole)
    assert decode(data + b"appended by a camera" * 9).notes == ()


@pytest.mark.parametrize(
    ("format", "least"), [("PNG", 50), ("JPEG", 10), ("WEBP", 0), ("TIFF", 0), ("GIF", 0), ("BMP", 0)]
)
def test_overwritten_bytes_give_a_known_reason_or_an_image(photo: Image.Image, format: str, least: int) -> None:
    """A PNG's checksum finds all damage to pixels; a JPEG has none, so only what breaks its code can be found."""
    known = {"not an image", "truncated", "corrupt data", "no pixels", "too many pixels", "unsupported pixels"}
    generator = np.random.default_rng(7)
    data = save(photo, format)
    reasons = []
    for _ in range(60):
        damaged = bytearray(data)
        at = int(generator.integers(0, len(data) - 8))
        damaged[at : at + 8] = generator.bytes(8)
        try:
            pixels = decode(bytes(damaged)).pixels
            assert format != "PNG" or np.array_equal(pixels, decode(data).pixels)
        except DecodeError as error:
            reasons.append(str(error).partition(":")[0])
    assert set(reasons) <= known
    assert len(reasons) >= least


def test_an_unusual_but_whole_jpeg_is_read(photo: Image.Image) -> None:
    data = simplejpeg.encode_jpeg(np.asarray(photo), 90, "RGB", "411")
    assert decode(data).pixels.shape == (96, 120, 3)


def test_threads_decode_the_same(photo: Image.Image) -> None:
    files = [save(photo, "JPEG"), save(photo, "PNG", icc_profile=wide_gamut_profile()), save(photo.quantize(9), "GIF")]
    expected = [decode(data).pixels for data in files]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            for index, data in enumerate(files):
                if not np.array_equal(decode(data).pixels, expected[index]):
                    wrong.append(index)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
