"""Photo files: `encode` keeps pixels, format and header of what `read_photo` read."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin, UnidentifiedImageError, features

from curate.decode import decode
from curate.errors import DecodeError
from tests.samples.swap import ASTRONAUT, pixels, smaller
from train.swap.photo_files.reader import output_name, read_photo

PHOTO = smaller(pixels(ASTRONAUT), 0.25)[:, :120]  # 128 x 120 px
RNG = np.random.default_rng(0)


def exif(orientation: int, thumbnail: bool = False) -> bytes:
    """EXIF with an orientation and, optionally, a second directory with a thumbnail of 5 bytes."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    second = 8 + 2 + 12 + 4
    block = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", second if thumbnail else 0)
    if thumbnail:
        data = second + 2 + 24 + 4
        block += struct.pack(">H", 2) + struct.pack(">HHII", 0x0201, 4, 1, data)
        block += struct.pack(">HHII", 0x0202, 4, 1, 5) + struct.pack(">I", 0) + b"THUMB"
    return b"Exif\0\0" + block


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(samples: np.ndarray) -> bytes:
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(samples)))


ALPHA = np.concatenate([PHOTO, RNG.integers(0, 256, (*PHOTO.shape[:2], 1), np.uint8)], 2)
DEEP = (PHOTO.astype(np.uint16) * 257) ^ RNG.integers(0, 256, PHOTO.shape, np.uint16)

LOSSLESS = {
    "png": png(PHOTO),
    "png alpha": png(ALPHA),
    "png grey": png(PHOTO[..., 0]),
    "png grey and alpha": png(ALPHA[..., 2:]),
    "png 16 bit": png(DEEP),
    "png 16 bit grey": png(DEEP[..., 0]),
    "png 16 bit alpha": png(np.concatenate([DEEP, DEEP[..., :1]], 2)),
    "png palette": saved(Image.fromarray(PHOTO).quantize(64), "PNG"),
    "png 1 bit": saved(Image.fromarray(PHOTO).convert("1"), "PNG"),
    "png turned": saved(Image.fromarray(PHOTO), "PNG", exif=exif(6)),
    "webp": saved(Image.fromarray(PHOTO), "WEBP", lossless=True),
    "webp alpha": saved(Image.fromarray(ALPHA), "WEBP", lossless=True, exact=True),
    "webp turned": saved(Image.fromarray(PHOTO), "WEBP", lossless=True, exif=exif(8)),
    "bmp": saved(Image.fromarray(PHOTO), "BMP"),
    "gif": saved(Image.fromarray(PHOTO), "GIF"),
    "tiff": saved(Image.fromarray(PHOTO), "TIFF"),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_unchanged_pixels_are_encoded_losslessly(kind: str) -> None:
    data = LOSSLESS[kind]
    photo = read_photo(data)
    again = photo.encode(photo.pixels)
    assert (decode(again).pixels == decode(data).pixels).all()
    assert (read_photo(again).pixels == photo.pixels).all()
    assert decode(again).format == ("PNG" if kind in ("bmp", "gif", "tiff") else decode(data).format)


@pytest.mark.parametrize("kind", [kind for kind in LOSSLESS if "16 bit" in kind or "alpha" in kind])
def test_unchanged_samples_keep_all_bits(kind: str) -> None:
    data = LOSSLESS[kind]
    read = imagecodecs.png_decode if kind.startswith("png") else lambda data: np.asarray(Image.open(io.BytesIO(data)))
    photo = read_photo(data)
    new = photo.pixels.copy()
    new[10:20, 10:20] = 255 - new[10:20, 10:20]
    before, after = read(data), read(photo.encode(new))
    assert before.dtype == after.dtype
    assert before.shape == after.shape
    changed = (before != after).reshape(*before.shape[:2], -1)
    colours = changed[..., :-1] if "alpha" in kind else changed
    assert colours[10:20, 10:20].any()
    colours[10:20, 10:20] = False
    assert not changed.any()  # alpha does not change even where the colour does


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_kept(format: str, orientation: int) -> None:
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    data = saved(Image.fromarray(PHOTO), format, exif=exif(orientation), **options)
    photo = read_photo(data)
    assert (photo.pixels == decode(data).pixels).all()
    new = photo.pixels.copy()
    new[:30, :10] = (200, 30, 30)  # top left, as displayed
    again = decode(photo.encode(new))
    assert again.orientation == orientation
    assert np.abs(again.pixels.astype(int) - new).mean() < 1.5
    assert np.abs(again.pixels[5:25, 2:8].astype(int) - (200, 30, 30)).max() < 20


@pytest.mark.parametrize(("quality", "sampling"), [(95, 0), (90, 1), (80, 2), (30, 2)])
def test_a_jpeg_keeps_tables_and_subsampling_and_loses_little(quality: int, sampling: int) -> None:
    data = saved(Image.fromarray(PHOTO), "JPEG", quality=quality, subsampling=sampling, progressive=quality == 90)
    photo = read_photo(data)
    again = photo.encode(photo.pixels)
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(again))
    assert JpegImagePlugin.get_sampling(after) == sampling
    assert bool(after.info.get("progressive")) == (quality == 90)
    if quality >= 75:
        assert after.quantization == before.quantization
    else:  # results are never coarser than quality 75, which would damage the watermark
        floor = Image.open(io.BytesIO(saved(Image.fromarray(PHOTO), "JPEG", quality=75)))
        assert (np.array(after.quantization[0]) <= np.array(floor.quantization[0])).all()
    # Encoding again with the same tables keeps nearly all coefficients.
    error = np.abs(decode(again).pixels.astype(int) - photo.pixels)
    assert np.sqrt((error**2).mean()) < (1.6 if quality >= 75 else 2.5)


def test_a_grey_jpeg_stays_grey_and_cmyk_becomes_rgb() -> None:
    grey = saved(Image.fromarray(PHOTO).convert("L"), "JPEG", quality=90)
    again = Image.open(io.BytesIO(read_photo(grey).encode(read_photo(grey).pixels)))
    assert again.mode == "L"
    cmyk = read_photo(saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG"))
    assert cmyk.notes == ("CMYK: written as RGB",)
    assert Image.open(io.BytesIO(cmyk.encode(cmyk.pixels))).mode == "RGB"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_colour_profile_and_values_are_kept(format: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"sRGB", b"wide")
    data = saved(
        Image.fromarray(PHOTO), format, icc_profile=profile, **({"lossless": True} if format == "WEBP" else {})
    )
    raw = np.asarray(Image.open(io.BytesIO(data)))
    photo = read_photo(data)
    assert (photo.pixels == raw).all()  # not converted to sRGB
    assert Image.open(io.BytesIO(photo.encode(photo.pixels))).info["icc_profile"] == profile


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_exif_thumbnail_is_removed(format: str) -> None:
    data = saved(Image.fromarray(PHOTO), format, exif=exif(3, thumbnail=True))
    assert b"THUMB" in data
    photo = read_photo(data)
    again = photo.encode(photo.pixels)
    assert b"THUMB" not in again
    assert decode(again).orientation == 3


def exif_with_location() -> bytes:
    block = Image.Exif()
    block[0x0112] = 3
    block[0x010F] = "camera"
    block.get_ifd(0x8825)[1] = "N"
    block.get_ifd(0x8825)[2] = (48.0, 51.0, 27.625)
    return block.tobytes()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_location_is_removed_and_noted(format: str) -> None:
    photo = read_photo(saved(Image.fromarray(PHOTO), format, exif=exif_with_location()))
    assert photo.notes == ("GPS location: removed",)
    again = photo.encode(photo.pixels)
    with Image.open(io.BytesIO(again)) as image:
        block = image.getexif()
        assert not block.get_ifd(0x8825)
        assert (block[0x0112], block[0x010F]) == (3, "camera")
    assert read_photo(again).notes == ()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_location_is_kept_on_request(format: str) -> None:
    photo = read_photo(saved(Image.fromarray(PHOTO), format, exif=exif_with_location()), keep_location=True)
    assert photo.notes == ()
    with Image.open(io.BytesIO(photo.encode(photo.pixels))) as image:
        assert image.getexif().get_ifd(0x8825)[2] == (48.0, 51.0, 27.625)


def test_resolution_is_kept() -> None:
    for format in ("JPEG", "PNG"):
        data = saved(Image.fromarray(PHOTO), format, dpi=(300, 300))
        photo = read_photo(data)
        dpi = Image.open(io.BytesIO(photo.encode(photo.pixels))).info["dpi"]
        assert dpi == pytest.approx((300, 300), abs=0.1)


def test_formats_that_cannot_carry_marks_become_png() -> None:
    photo = read_photo(LOSSLESS["bmp"])
    assert photo.format == "PNG"
    assert photo.notes[0] == "results in BMP are not supported: written as PNG"
    assert output_name("a/b.bmp", photo.format) == "a/b.bmp.png"
    assert output_name("a/b.JPG", "JPEG") == "a/b.JPG"
    assert output_name("b.jpg", "PNG") == "b.jpg.png"
    assert len(output_name("a/" + "x" * 251 + ".bmp", "PNG")) == 2 + 255
    assert read_photo(LOSSLESS["png palette"]).notes == ("palette: written as RGB",)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")
def test_an_avif_becomes_png() -> None:
    photo = read_photo(saved(Image.fromarray(PHOTO), "AVIF", exif=exif_with_location()))
    assert (photo.format, photo.notes) == ("PNG", ("results in AVIF are not supported: written as PNG without EXIF",))
    assert photo.pixels.shape == PHOTO.shape


@pytest.mark.skipif(not imagecodecs.JPEGXL.available, reason="imagecodecs has no libjxl")
def test_a_jpeg_xl_becomes_png() -> None:
    photo = read_photo(bytes(imagecodecs.jpegxl_encode(PHOTO, lossless=True)))
    assert (photo.format, photo.notes) == (
        "PNG",
        ("results in JPEG XL are not supported: written as PNG without EXIF",),
    )
    assert (photo.pixels == PHOTO).all()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused(format: str) -> None:
    frames = [Image.fromarray(np.roll(PHOTO, 9 * k, 0)) for k in range(3)]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:])
    with pytest.raises(DecodeError, match="animated: convert it to a video first"):
        read_photo(data)


def test_a_png_that_pillow_refuses_is_read_and_written() -> None:
    data = saved(Image.fromarray(PHOTO), "PNG")
    damaged = data[:33] + b"\0\0\0\x04tEXtabcd" + bytes(4) + data[33:]  # a text with a wrong checksum
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(damaged), formats=["PNG"])
    photo = read_photo(damaged)
    assert (photo.pixels == PHOTO).all()
    assert (read_photo(photo.encode(photo.pixels)).pixels == PHOTO).all()
