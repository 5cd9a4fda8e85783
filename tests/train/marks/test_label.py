"""The visible label: size, position, legibility."""

from typing import get_args

import numpy as np
import pytest

from tests.samples.marks import Pixels
from train.marks.label import MIN_GLYPH_SHARE, draw, glyph_height
from train.marks.marking import Corner, Language


@pytest.mark.parametrize(("height", "width"), [(224, 224), (1080, 1920), (1920, 1080), (512, 384), (96, 96), (40, 30)])
def test_glyphs_have_the_required_height(height: int, width: int) -> None:
    black = np.zeros((1, height, width, 3), np.uint8)
    required = MIN_GLYPH_SHARE * min(height, width)
    assert glyph_height(height, width) >= required
    ink = draw(black, "zh")[0, :, :, 0] > 128
    rows = np.flatnonzero(ink.any(1))
    assert rows.size
    assert rows[0] > height / 2
    if min(height, width) >= 96:
        assert rows[-1] - rows[0] + 1 >= required


@pytest.mark.parametrize("corner", get_args(Corner))
def test_the_label_is_in_its_corner(corner: Corner) -> None:
    frames = np.full((2, 400, 600, 3), 90, np.uint8)
    changed = (draw(frames, "en", corner) != frames).any(3)
    assert np.array_equal(changed[0], changed[1])
    rows, columns = np.flatnonzero(changed[0].any(1)), np.flatnonzero(changed[0].any(0))
    assert (rows[0] > 200) == corner.startswith("bottom")
    assert (columns[0] > 200) == corner.endswith("right")
    assert rows[0] > 0
    assert rows[-1] < 399


BACKGROUNDS = {
    "black": np.zeros((1, 300, 300, 3), np.uint8),
    "white": np.full((1, 300, 300, 3), 255, np.uint8),
    "grey": np.full((1, 300, 300, 3), 128, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3), np.uint8),
}


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_label_is_legible_on_any_background(background: str) -> None:
    frame = BACKGROUNDS[background]
    ink = draw(np.zeros_like(frame))[0, :, :, 0] > 250
    plate = (draw(np.full_like(frame, 255))[0, :, :, 0] < 120) & ~ink
    drawn = draw(frame)[0].mean(2)
    assert ink.sum() > 200
    assert drawn[ink].min() > 250
    assert drawn[plate].max() < 130


def test_languages_differ_and_none_draws_nothing(photo: Pixels) -> None:
    results = {language: draw(photo[None], language) for language in get_args(Language)}
    assert np.array_equal(results["none"][0], photo)
    areas = {language: int((result != photo).any(3).sum()) for language, result in results.items()}
    assert areas["both"] > areas["en"] > areas["zh"] > 0
