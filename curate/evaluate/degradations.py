"""A photo in, the same photo made worse in a known way out: what blur is calibrated and judged on.

Every function takes and returns uint8 (H, W, 3). Sizes are in px of the *256 px face scale*, on which the eyes are
63 px apart (a portrait framed as FFHQ does, at 256 px); `scale` says how many px of the photo make one of those.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Random = np.random.Generator

EYE_DISTANCE = 63.0
"""Eye distance in px on the 256 px face scale."""


def gaussian(photo: Pixels, sigma: float, scale: float = 1.0) -> Pixels:
    blurred = cv2.GaussianBlur(photo, (0, 0), sigma * scale, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.uint8)


def motion(photo: Pixels, length: float, degrees: float, scale: float = 1.0) -> Pixels:
    """A straight, even movement of `length` px, at an angle to the x axis."""
    reach = length * scale / 2
    side = 2 * int(np.ceil(reach)) + 1
    kernel = np.zeros((side, side), np.float32)
    direction = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    # Each of many points of the path is shared out among the four pixels around it.
    for step in np.linspace(-reach + 0.5 * scale, reach - 0.5 * scale, 8 * side):
        x, y = step * direction + side // 2
        column, row = int(np.floor(x)), int(np.floor(y))
        for dx, wx in ((0, column + 1 - x), (1, x - column)):
            for dy, wy in ((0, row + 1 - y), (1, y - row)):
                if wx * wy > 0:
                    kernel[row + dy, column + dx] += wx * wy
    return _filtered(photo, kernel)


def defocus(photo: Pixels, radius: float, scale: float = 1.0) -> Pixels:
    """An even disc, what a lens makes of a point out of focus."""
    reach, fine = radius * scale, 8
    side = 2 * int(np.ceil(reach)) + 1
    place = (np.arange(side * fine) + 0.5) / fine - side / 2
    disc = (place[:, None] ** 2 + place**2 <= reach**2).astype(np.float32)
    return _filtered(photo, disc.reshape(side, fine, side, fine).sum((1, 3)))


def low_resolution(photo: Pixels, factor: float, interpolation: int = cv2.INTER_CUBIC) -> Pixels:
    """Made smaller by `factor` (each pixel the mean of those it covers), then as large as before."""
    height, width = photo.shape[:2]
    return np.asarray(cv2.resize(smaller(photo, factor), (width, height), interpolation=interpolation), np.uint8)


def smaller(photo: Pixels, factor: float) -> Pixels:
    """Made smaller by `factor`, and left so: uint8 (H / factor, W / factor, 3)."""
    size = max(1, round(photo.shape[1] / factor)), max(1, round(photo.shape[0] / factor))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def brightness(photo: Pixels, factor: float) -> Pixels:
    return np.asarray(cv2.convertScaleAbs(photo, alpha=factor), np.uint8)


def noise(photo: Pixels, sigma: float, random: Random) -> Pixels:
    """Independent Gaussian noise of `sigma` levels, the same in the three channels of a greyscale photo."""
    grey = bool((photo[..., 0] == photo[..., 1]).all() and (photo[..., 1] == photo[..., 2]).all())
    grain = random.normal(0, sigma, (*photo.shape[:2], 1 if grey else 3))
    return np.asarray(np.clip(np.rint(photo + grain), 0, 255), np.uint8)


def jpeg(photo: Pixels, quality: int) -> Pixels:
    """Coded and decoded again as JPEG 4:2:0."""
    _, coded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1].copy()


def _filtered(photo: Pixels, kernel: npt.NDArray[np.float32]) -> Pixels:
    return np.asarray(cv2.filter2D(photo, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


@dataclass(frozen=True)
class Rung:
    """One step of the blur ladder: `apply(photo, scale, random)`; `blurred` says whether a face so treated must be
    called blurred (True), must not (False), or either is right (None)."""

    name: str
    blurred: bool | None
    apply: Callable[[Pixels, float, Random], Pixels]


def _moving(length: float) -> Callable[[Pixels, float, Random], Pixels]:
    return lambda photo, scale, random: motion(photo, length, random.uniform(0, 180), scale)


def _coarse(factor: float) -> Callable[[Pixels, float, Random], Pixels]:
    methods = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
    return lambda photo, scale, random: low_resolution(photo, factor * scale, methods[random.integers(3)])


def _noisy(inner: Callable[[Pixels, float, Random], Pixels]) -> Callable[[Pixels, float, Random], Pixels]:
    return lambda photo, scale, random: noise(inner(photo, scale, random), random.uniform(3, 8), random)


def _soft(sigma: float) -> Callable[[Pixels, float, Random], Pixels]:
    return lambda photo, scale, random: gaussian(photo, sigma, scale)


LADDER = (
    Rung("none", False, lambda photo, scale, random: photo),
    Rung("noise", False, _noisy(lambda photo, scale, random: photo)),
    Rung("JPEG 20", False, lambda photo, scale, random: jpeg(photo, 20)),
    Rung("gaussian 1", None, _soft(1.0)),
    Rung("gaussian 1.5", None, _soft(1.5)),
    Rung("gaussian 2", True, _soft(2.0)),
    Rung("gaussian 3", True, _soft(3.0)),
    Rung("motion 7", None, _moving(7)),
    Rung("motion 11", True, _moving(11)),
    Rung("motion 15", True, _moving(15)),
    Rung("defocus 4", True, lambda photo, scale, random: defocus(photo, 4.0, scale)),
    Rung("low resolution 3", True, _coarse(3)),
    Rung("low resolution 5", True, _coarse(5)),
    Rung("gaussian 2, noise", True, _noisy(_soft(2.0))),
    Rung("motion 11, noise", True, _noisy(_moving(11))),
    Rung("low resolution 3, noise", True, _noisy(_coarse(3))),
)
"""The blurs of the project's figures, each to be met at half and double brightness too."""
