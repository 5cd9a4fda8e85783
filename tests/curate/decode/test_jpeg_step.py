"""The step of a JPEG's own quantisation table."""

import numpy as np
import pytest
from PIL import Image

from curate.decode import decode
from tests.curate.decode.files import save

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(("quality", "step"), [(50, 11.8), (75, 6), (95, 1)])
def test_it_is_that_of_the_low_frequencies_of_the_luma(quality: int, step: float, isolated: bool) -> None:
    """Standard tables: 11, 12, 14, 12, 10 at quality 50."""
    assert decode(save(PHOTO, "JPEG", quality=quality), isolated=isolated).jpeg_step == pytest.approx(step)
    assert decode(save(PHOTO.convert("L"), "JPEG", quality=quality), isolated=isolated).jpeg_step == pytest.approx(step)


def test_tables_of_two_bytes_a_step() -> None:
    assert decode(save(PHOTO, "JPEG", qtables=[[300] * 64])).jpeg_step == 300


@pytest.mark.parametrize(("mode", "format"), [("RGB", "PNG"), ("CMYK", "JPEG")])
def test_other_files_have_none(mode: str, format: str) -> None:
    assert decode(save(PHOTO.convert(mode), format)).jpeg_step is None
