"""Photos over the pixel limit: JPEGs are decoded scaled down where that is allowed."""

import math

import numpy as np
import pytest
from PIL import Image

from curate.decode import DecodeError, decode
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
        ("PNG", {}, 1),
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
