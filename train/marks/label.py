"""The visible label "AI生成 / AI-generated" in a corner of frames.

GB 45438-2025 requires glyphs of at least 5% of the short side. White text on a dark, translucent plate is legible on
any background. No font among the dependencies has Chinese characters, so 生 and 成 are drawn from strokes.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from train.marks.mark import FrameMark
from train.marks.marking import Corner, Language, Marking

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

MIN_GLYPH_SHARE = 0.05
"""Minimum glyph height as a share of the short side (GB 45438-2025)."""

MIN_GLYPH_HEIGHT = 11
"""Pixels. The strokes of 生 and 成 merge below this height, so small pictures get glyphs larger than the share."""

PLATE_OPACITY = 0.65

_OVERSAMPLING = 8
_LINES: dict[str, tuple[tuple[str, ...], ...]] = {
    # Layouts in order of preference: the first that fits is used.
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
_STROKE_WIDTH = 0.1  # as a share of the side of the square
_SQUARE = 1.2  # side of the square in cap heights; the strokes in it are then 1.06 cap heights high


@dataclass(frozen=True)
class _Plate:
    """Position of the plate, and its effect: region * keep + add, both float32 (h, w, 1)."""

    top: int
    left: int
    keep: Floats
    add: Floats


class VisibleLabel(FrameMark):
    """A text for people, in a corner of every frame; nothing is drawn for the language "none"."""

    name: ClassVar[str] = "label"
    readable: ClassVar[bool] = False

    def __init__(self, marking: Marking) -> None:
        self._language, self._corner = marking.label, marking.corner

    def apply(self, frames: Pixels) -> Pixels:
        return draw(frames, self._language, self._corner)


def draw(frames: Pixels, language: Language = "both", corner: Corner = "bottom-right") -> Pixels:
    """A copy of frames, uint8 (N, H, W, 3), with the label; unchanged for "none"."""
    result = frames.copy()
    if language != "none" and len(frames):
        plate = _plate(frames.shape[1], frames.shape[2], language, corner)
        height, width = plate.keep.shape[:2]
        region = result[:, plate.top : plate.top + height, plate.left : plate.left + width]
        region[:] = np.rint(region * plate.keep + plate.add)
    return result


def glyph_height(height: int, width: int) -> int:
    """Height in pixels of the label's capitals in a picture of this size."""
    return max(_required_height(height, width), MIN_GLYPH_HEIGHT)


def _required_height(height: int, width: int) -> int:
    return math.ceil(MIN_GLYPH_SHARE * min(height, width))


@lru_cache(maxsize=16)
def _plate(height: int, width: int, language: str, corner: str) -> _Plate:
    size = glyph_height(height, width)
    layouts = [(lines, size) for lines in _LINES[language]]
    layouts.append((_LINES[language][-1], _required_height(height, width)))
    for lines, size in layouts:
        text = _text(lines, size)
        if text.shape[0] <= height and text.shape[1] <= width:
            break
    text = text[:height, :width]
    rows, columns = text.shape
    # Keep a distance from the border, which players and thumbnails crop.
    margin = min(size // 2, height - rows, width - columns)
    top = margin if corner.startswith("top") else height - rows - margin
    left = margin if corner.endswith("left") else width - columns - margin
    text = text[:, :, None]
    return _Plate(top, left, (1 - PLATE_OPACITY) * (1 - text), 255 * text)


def _text(lines: tuple[str, ...], size: int) -> Floats:
    """Coverage of each pixel by the characters of these lines, 0 to 1, with padding around: float32 (h, w)."""
    cap = size * _OVERSAMPLING  # cap height
    font = _font(cap)
    widths = [sum(_advance(character, font, cap) for character in line) for line in lines]
    padding, pitch = 0.35 * cap, 1.45 * cap
    canvas = (
        math.ceil((max(widths) + 2 * padding) / _OVERSAMPLING) * _OVERSAMPLING,
        math.ceil((cap * 1.3 + pitch * (len(lines) - 1) + 2 * padding - 0.1 * cap) / _OVERSAMPLING) * _OVERSAMPLING,
    )
    image = Image.new("L", canvas)
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        x, baseline = padding, padding + cap + number * pitch
        for character in line:
            if character in _STROKES:
                top = baseline - (1 + _SQUARE) / 2 * cap
                _draw_strokes(pen, _STROKES[character], x + 0.07 * cap, top, _SQUARE * cap)
            else:
                pen.text((x, baseline), character, fill=255, font=font, anchor="ls", stroke_width=0.02 * cap)
            x += _advance(character, font, cap)
    return np.asarray(image.reduce(_OVERSAMPLING)).astype(np.float32) / np.float32(255)


def _font(cap: int) -> ImageFont.FreeTypeFont:
    """Pillow's built-in font with a cap height of `cap` pixels."""
    trial = ImageFont.load_default(1000)
    assert isinstance(trial, ImageFont.FreeTypeFont)
    _, top, _, bottom = trial.getbbox("I", anchor="ls")
    font = ImageFont.load_default(1000 * cap / (bottom - top))
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _advance(character: str, font: ImageFont.FreeTypeFont, cap: int) -> float:
    return (_SQUARE + 0.1) * cap if character in _STROKES else font.getlength(character) + 0.03 * cap


def _draw_strokes(pen: ImageDraw.ImageDraw, strokes: tuple[Stroke, ...], x: float, y: float, side: float) -> None:
    """Draw strokes with round ends and joints into the square of this side with its top left corner at (x, y)."""
    radius = _STROKE_WIDTH * side / 2
    inner = side - 2 * radius  # the edge of the stroke, not its centre line, reaches the border of the square
    for stroke in strokes:
        points = [(x + radius + inner * px, y + radius + inner * py) for px, py in stroke]
        pen.line(points, fill=255, width=round(2 * radius))
        for px, py in points:
            pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=255)
