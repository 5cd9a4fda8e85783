"""Photos over the pixel limit: JPEGs are decoded scaled down where that is allowed."""

import math
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from bench.bombs import PNG_SIGNATURE, png_chunk
from curate.decode import DecodeError, decode, png_rows
from curate.decode import png as png_reader
from curate.decode.jpeg import MAX_COEFFICIENT_BYTES, MAX_SHRUNK
from tests.curate.decode.files import save

SIDE = 160


@pytest.fixture
def large(photo: Image.Image) -> Image.Image:
    return photo.resize((SIDE + 1, SIDE))


@pytest.mark.parametrize(
    ("max_pixels", "factor"),
    [((SIDE + 1) * SIDE, 1), (SIDE * SIDE, 2), (41 * 40, 4), (41 * 40 + 1, 4), (41 * 40 - 1, 8)],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_shrunk_to_the_limit(large: Image.Image, mode: str, max_pixels: int, factor: int) -> None:
    decoded = decode(save(large.convert(mode), "JPEG", quality=95), max_pixels=max_pixels, shrink=True)
    size = (-(-(SIDE + 1) // factor), -(-SIDE // factor))
    assert (decoded.shrink, decoded.width, decoded.height) == (factor, *size)
    assert decoded.pixels.shape == (size[1], size[0], 3)
    expected = np.asarray(large.convert(mode).convert("RGB").resize(size, Image.Resampling.BOX))
    assert np.abs(decoded.pixels.astype(int) - expected).mean() < 9


@pytest.mark.parametrize(
    ("format", "options", "share"),
    [
        ("JPEG", {}, MAX_SHRUNK),
        ("JPEG", {"progressive": True}, MAX_COEFFICIENT_BYTES / 3),  # 4:2:0
        ("JPEG", {"progressive": True, "subsampling": 0}, MAX_COEFFICIENT_BYTES / 6),
        ("WEBP", {}, 1),
    ],
)
def test_what_shrinking_does_not_help_is_refused(
    large: Image.Image, format: str, options: dict[str, bool], share: float
) -> None:
    data = save(large, format, **options)
    limit = math.ceil((SIDE + 1) * SIDE / share)
    assert decode(data, max_pixels=limit, shrink=True).width <= SIDE + 1
    with pytest.raises(DecodeError, match=f"too many pixels: {SIDE + 1}x{SIDE}"):
        decode(data, max_pixels=limit - 1 - limit // 50, shrink=True)


def test_without_permission_nothing_is_shrunk(large: Image.Image) -> None:
    with pytest.raises(DecodeError, match="too many pixels"):
        decode(save(large, "JPEG"), max_pixels=SIDE * SIDE)


@pytest.mark.parametrize("max_pixels", [100_000_000, 10**12])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_limit_beyond_that_of_pillow(large: Image.Image, format: str, max_pixels: int) -> None:
    assert decode(save(large, format), max_pixels=max_pixels, shrink=True).width == SIDE + 1


def png(pixels: np.ndarray, depth: int, colour: int, *chunks: bytes, filters: bool = True) -> bytes:
    """Write a PNG of any type: samples (H, W, channels); the filters 0 to 4 in turn."""
    height, width = pixels.shape[:2]
    if depth == 16:
        rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    elif depth == 8:
        rows = pixels.astype(np.uint8).reshape(height, -1)
    else:
        bits = np.unpackbits(pixels.astype(np.uint8).reshape(height, width, 1), axis=2)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    step = max(1, depth * pixels.shape[2] // 8)
    filtered, above = b"", np.zeros(rows.shape[1], np.uint8)
    for number, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, np.uint8), row[:-step]])
        corner = np.concatenate([np.zeros(step, np.uint8), above[:-step]])
        kind = number % 5 if filters else 0
        predicted = [np.zeros_like(row), left, above, ((left.astype(int) + above) // 2).astype(np.uint8),
                     paeth(left.astype(int), above.astype(int), corner.astype(int))][kind]  # fmt: skip
        filtered += bytes([kind]) + (row - predicted).astype(np.uint8).tobytes()
        above = row
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(filtered)
    parts = [png_chunk(b"IDAT", data[at : at + 700]) for at in range(0, len(data), 700)]
    return b"".join([PNG_SIGNATURE, png_chunk(b"IHDR", header), *chunks, *parts, png_chunk(b"IEND", b"")])


def paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The predictor of filter 4 (ISO/IEC 15948, 9.4)."""
    estimate = left + above - corner
    distances = np.abs(np.stack([estimate - left, estimate - above, estimate - corner]))
    return np.choose(distances.argmin(0), [left, above, corner]).astype(np.uint8)


def samples(depth: int, channels: int) -> np.ndarray:
    """A gradient with noise, (61, 47, channels)."""
    y, x = np.mgrid[:61, :47]
    values = (
        (y * 3 + x * 2)[..., None] + np.arange(channels) * 20 + np.random.default_rng(depth).integers(0, 9, (61, 47, 1))
    )
    return values * ((1 << depth) - 1) // values.max()


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize(
    ("depth", "colour", "channels"),
    [(1, 0, 1), (2, 0, 1), (4, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3), (4, 3, 1), (8, 3, 1), (8, 4, 2),
     (16, 4, 2), (8, 6, 4), (16, 6, 4)],
)  # fmt: skip
def test_a_png_of_any_type_is_shrunk_to_the_means(
    monkeypatch: pytest.MonkeyPatch, depth: int, colour: int, channels: int, factor: int
) -> None:
    monkeypatch.setattr(png_rows, "_BAND_BYTES", 1000)
    for limit in ("MAX_SHRUNK", "MAX_SHRUNK_BYTES", "MAX_INFLATION"):
        monkeypatch.setattr(png_reader, limit, 999)
    pixels = samples(depth, channels)
    palette = np.random.default_rng(1).integers(0, 256, (1 << min(depth, 8), 3), np.uint8)
    data = png(pixels, depth, colour, *[png_chunk(b"PLTE", palette.tobytes())] * (colour == 3))
    whole = decode(data, background=(0, 0, 0))
    limit = -(-61 // factor) * -(-47 // factor)
    shrunk = decode(data, max_pixels=limit, shrink=True, background=(0, 0, 0))
    assert (shrunk.shrink, shrunk.width, shrunk.height) == (factor, -(-47 // factor), -(-61 // factor))
    assert shrunk.notes == whole.notes
    inner = whole.pixels[: 61 // factor * factor, : 47 // factor * factor].astype(float)
    means = inner.reshape(61 // factor, factor, 47 // factor, factor, 3).mean((1, 3))
    assert np.abs(shrunk.pixels[: 61 // factor, : 47 // factor] - means).max() <= (2.5 if colour in (4, 6) else 1)


def test_transparent_pixels_have_no_share_in_the_colour() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, ::2] = 200
    keyed = png(pixels, 8, 2, png_chunk(b"tRNS", bytes(6)))  # black is transparent
    shrunk = decode(keyed, max_pixels=400, shrink=True, background=(200, 200, 200))
    assert (shrunk.pixels == 200).all()


def test_a_shrunk_png_keeps_orientation_profile_and_checksums(photo: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = save(photo.resize((80, 60)), "PNG", exif=exif, icc_profile=profile)
    shrunk = decode(data, max_pixels=1200, shrink=True)
    assert (shrunk.orientation, shrunk.width, shrunk.height, shrunk.shrink) == (6, 30, 40, 2)
    assert shrunk.notes == ("colour profile ignored",)
    for cut, reason in ((len(data) // 2, "truncated"), (len(data) - 12, None)):
        if reason:
            with pytest.raises(DecodeError, match=reason):
                decode(data[:cut], max_pixels=1200, shrink=True)
        else:
            assert "end mark missing" in decode(data[:cut], max_pixels=1200, shrink=True).notes
    at = data.index(b"IDAT") + 40
    with pytest.raises(DecodeError, match="corrupt data"):
        decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], max_pixels=1200, shrink=True)


@pytest.mark.parametrize("damage", ["cut stream", "wrong sum", "filter 9", "surplus"])
def test_damage_of_a_shrunk_png_is_a_reason(damage: str) -> None:
    random = np.random.default_rng(0)
    start = bytes([9 if damage == "filter 9" else 0])
    rows = b"".join(start + random.bytes(3 * 64) for _ in range(65 if damage == "surplus" else 64))
    stream = zlib.compress(rows)
    stream = {"cut stream": stream[:-30], "wrong sum": stream[:-4] + b"abcd"}.get(damage, stream)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    data = b"".join([PNG_SIGNATURE, header, png_chunk(b"IDAT", stream), png_chunk(b"IEND", b"")])
    if damage == "surplus":
        assert decode(data, max_pixels=1024, shrink=True).shrink == 2
    else:
        with pytest.raises(DecodeError, match=r"truncated|corrupt data"):
            decode(data, max_pixels=1024, shrink=True)


@pytest.mark.parametrize(
    ("width", "height", "empty", "limit"),
    [
        pytest.param(3000, 4, False, 11_999 // 2, id="huge rows"),
        pytest.param(200, 60, True, 11_999 // 2, id="a bomb"),
        pytest.param(200, 60, False, 12_000 // 4 - 1, id="four times the limit"),
    ],
)
def test_a_png_that_takes_too_much_to_shrink_is_refused(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int, empty: bool, limit: int
) -> None:
    monkeypatch.setattr(png_reader, "MAX_ROWS_BYTES", 10_000)
    pixels = np.random.default_rng(0).integers(0, 1 if empty else 256, (height, width, 3))
    with pytest.raises(DecodeError, match=f"too many pixels: {width}x{height}"):
        decode(png(pixels, 8, 2, filters=False), max_pixels=limit, shrink=True)
