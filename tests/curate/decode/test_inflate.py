"""curate/decode/inflate.py: the same pixels without compression; other files unchanged."""

import io

import numpy as np
import pytest
from PIL import Image

from curate.decode import decode
from curate.decode.inflate import inflate_png
from tests.curate.decode.files import save


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
@pytest.mark.parametrize("size", [(120, 96), (300, 250)])
def test_inflated_png_has_the_same_pixels(photo: Image.Image, mode: str, size: tuple[int, int]) -> None:
    image = photo.resize(size)
    image = image.quantize(200) if mode == "P" else image.convert(mode)
    data = save(image, "PNG")
    inflated = inflate_png(data, 10**6)
    assert len(inflated) > len(data)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(inflated))), np.asarray(image))
    assert np.array_equal(decode(inflated).pixels, decode(data).pixels)


def test_damaged_and_oversized_files_are_returned_unchanged(photo: Image.Image) -> None:
    data = save(photo, "PNG")
    at = len(data) // 2
    flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    for damaged in (data[:at], flipped, data[:20] + b"\0" * 30, b"", b"GIF"):
        assert inflate_png(damaged, 10**6) == damaged
    assert inflate_png(data, 100) == data
