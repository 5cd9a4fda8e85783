"""The visible label "AI生成 / AI-generated": frames in, the same frames with it in a corner.

After GB 45438-2025 its glyphs are at least 5% of the short side high. White on a dark, half transparent plate it is
legible on any background. No font of the dependencies has Chinese characters, so 生 and 成 are drawn from strokes here.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Language = Literal["both", "zh", "en", "none"]
Corner = Literal["bottom-right", "bottom-left", "top-right", "top-left"]

SHARE = 0.05
"""Glyph height as a share of the short side, at least."""

LEGIBLE = 11
"""Pixels: below this 生 and 成 run together, so in small pictures the glyphs are larger than SHARE asks."""

PLATE = 0.65
"""Opacity of the plate."""

_FINE = 8  # drawn that much larger, then averaged
_LINES: dict[str, tuple[tuple[str, ...], ...]] = {
    # The first layout that fits is taken.
    "both": (("AI生成 / AI-generated",), ("AI生成", "AI-generated")),
    "zh": (("AI生成",),),
    "en": (("AI-generated",),),
}

Stroke = tuple[tuple[float, float], ...]
_STROKES: dict[str, tuple[Stroke, ...]] = {
    # Points (x, y) of each stroke's centre line in the unit square, y downwards, in writing order.
    "生": (
        ((0.27, 0.06), (0.21, 0.24), (0.08, 0.44)),
        ((0.22, 0.27), (0.88, 0.27)),
        ((0.16, 0.59), (0.84, 0.59)),
        ((0.52, 0.05), (0.52, 0.94)),
        ((0.05, 0.94), (0.95, 0.94)),
    ),
    "成": (
        ((0.14, 0.27), (0.93, 0.27)),
        ((0.14, 0.27), (0.13, 0.62), (0.04, 0.95)),
        ((0.14, 0.52), (0.41, 0.52), (0.38, 0.83), (0.27, 0.80)),
        ((0.54, 0.05), (0.59, 0.46), (0.71, 0.77), (0.90, 0.95), (0.95, 0.74)),
        ((0.85, 0.43), (0.70, 0.69), (0.46, 0.93)),
        ((0.71, 0.05), (0.86, 0.17)),
    ),
}
_WEIGHT = 0.1  # of a stroke, as a share of the square's side
_LARGER = 1.2  # the square's side, in heights of the capitals: what is drawn in it is then 1.06 of them high


@dataclass(frozen=True)
class _Plate:
    """Where the plate lies, and what it does: region * keep + add, both float32 (h, w, 1)."""

    top: int
    left: int
    keep: Floats
    add: Floats


def draw(frames: Pixels, language: Language = "both", corner: Corner = "bottom-right") -> Pixels:
    """Frames uint8 (N, H, W, 3) -> a copy with the label; unchanged for "none"."""
    result = frames.copy()
    if language != "none" and len(frames):
        plate = _plate(frames.shape[1], frames.shape[2], language, corner)
        height, width = plate.keep.shape[:2]
        region = result[:, plate.top : plate.top + height, plate.left : plate.left + width]
        region[:] = np.rint(region * plate.keep + plate.add)
    return result


def glyph_height(height: int, width: int) -> int:
    """Pixels from the foot to the top of the label's characters in a picture of this size."""
    return max(math.ceil(SHARE * min(height, width)), LEGIBLE)


@lru_cache(maxsize=16)
def _plate(height: int, width: int, language: str, corner: str) -> _Plate:
    size, least = glyph_height(height, width), math.ceil(SHARE * min(height, width))
    layouts = [(lines, size) for lines in _LINES[language]] + [(_LINES[language][-1], least)]
    for lines, size in layouts:
        text = _text(lines, size)
        if text.shape[0] <= height and text.shape[1] <= width:
            break
    text = text[:height, :width]
    rows, columns = text.shape
    # A little off the border, where players and thumbnails cut.
    margin = min(size // 2, height - rows, width - columns)
    top = margin if corner.startswith("top") else height - rows - margin
    left = margin if corner.endswith("left") else width - columns - margin
    text = text[:, :, None]
    return _Plate(top, left, (1 - PLATE) * (1 - text), 255 * text)


def _text(lines: tuple[str, ...], size: int) -> Floats:
    """How much of each pixel is covered by the characters of these lines, 0 to 1, with room around; float32 (h, w)."""
    tall = size * _FINE
    font = _font(tall)
    widths = [sum(_advance(character, font, tall) for character in line) for line in lines]
    room, pitch = 0.35 * tall, 1.45 * tall
    canvas = (
        math.ceil((max(widths) + 2 * room) / _FINE) * _FINE,
        math.ceil((tall * 1.3 + pitch * (len(lines) - 1) + 2 * room - 0.1 * tall) / _FINE) * _FINE,
    )
    image = Image.new("L", canvas)
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        x, foot = room, room + tall + number * pitch
        for character in line:
            if character in _STROKES:
                _brush(pen, _STROKES[character], x + 0.07 * tall, foot - (1 + _LARGER) / 2 * tall, _LARGER * tall)
            else:
                pen.text((x, foot), character, fill=255, font=font, anchor="ls", stroke_width=0.02 * tall)
            x += _advance(character, font, tall)
    small = image.reduce(_FINE)
    return np.asarray(small).astype(np.float32) / np.float32(255)


def _font(tall: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so large that its capitals are `tall` high."""
    trial = ImageFont.load_default(1000)
    assert isinstance(trial, ImageFont.FreeTypeFont)
    _, top, _, bottom = trial.getbbox("I", anchor="ls")
    font = ImageFont.load_default(1000 * tall / (bottom - top))
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _advance(character: str, font: ImageFont.FreeTypeFont, tall: int) -> float:
    return (_LARGER + 0.1) * tall if character in _STROKES else font.getlength(character) + 0.03 * tall


def _brush(pen: ImageDraw.ImageDraw, strokes: tuple[Stroke, ...], x: float, y: float, side: float) -> None:
    """Draw strokes with round ends and joints into the square of this side at (x, y)."""
    radius = _WEIGHT * side / 2
    inner = side - 2 * radius  # the brush's edge, not its centre, reaches the square's border
    for stroke in strokes:
        points = [(x + radius + inner * px, y + radius + inner * py) for px, py in stroke]
        pen.line(points, fill=255, width=round(2 * radius))
        for px, py in points:
            pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=255)
