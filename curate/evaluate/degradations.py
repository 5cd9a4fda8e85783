"""Known degradations of a photo, on which blur is calibrated and evaluated.

Photos are uint8 (H, W, 3) RGB. Sizes are in px of the *256 px face scale*, on which the eyes are
63 px apart (a portrait framed like FFHQ, at 256 px); `scale` is the number of photo pixels per pixel of that scale.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Random = np.random.Generator
Degradation = Callable[[Pixels, float, Random], Pixels]
"""(photo, scale, random) -> degraded photo."""

EYE_DISTANCE = 63.0
"""Eye distance in px on the 256 px face scale."""


def gaussian(photo: Pixels, sigma: float, scale: float = 1.0) -> Pixels:
    """Blur with a Gaussian of standard deviation `sigma`."""
    blurred = cv2.GaussianBlur(photo, (0, 0), sigma * scale, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.uint8)


def motion(photo: Pixels, length: float, degrees: float, scale: float = 1.0) -> Pixels:
    """Blur by a uniform straight movement of `length` px at an angle to the x axis."""
    reach = length * scale / 2
    side = 2 * int(np.ceil(reach)) + 1
    kernel = np.zeros((side, side), np.float32)
    direction = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    # Each of many points of the path is distributed bilinearly over the four pixels around it.
    for step in np.linspace(-reach + 0.5 * scale, reach - 0.5 * scale, 8 * side):
        x, y = step * direction + side // 2
        column, row = int(np.floor(x)), int(np.floor(y))
        for dx, wx in ((0, column + 1 - x), (1, x - column)):
            for dy, wy in ((0, row + 1 - y), (1, y - row)):
                if wx * wy > 0:
                    kernel[row + dy, column + dx] += wx * wy
    return _filter(photo, kernel)


def defocus(photo: Pixels, radius: float, scale: float = 1.0) -> Pixels:
    """Blur with a uniform disc, the image of a point out of focus."""
    reach, oversampling = radius * scale, 8
    side = 2 * int(np.ceil(reach)) + 1
    position = (np.arange(side * oversampling) + 0.5) / oversampling - side / 2
    disc = (position[:, None] ** 2 + position**2 <= reach**2).astype(np.float32)
    return _filter(photo, disc.reshape(side, oversampling, side, oversampling).sum((1, 3)))


def low_resolution(photo: Pixels, factor: float, interpolation: int = cv2.INTER_CUBIC) -> Pixels:
    """Shrink by `factor` with area averaging, then enlarge to the original size."""
    height, width = photo.shape[:2]
    return np.asarray(cv2.resize(smaller(photo, factor), (width, height), interpolation=interpolation), np.uint8)


def smaller(photo: Pixels, factor: float) -> Pixels:
    """Shrink by `factor` with area averaging: uint8 (H / factor, W / factor, 3)."""
    size = max(1, round(photo.shape[1] / factor)), max(1, round(photo.shape[0] / factor))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def brightness(photo: Pixels, factor: float) -> Pixels:
    """Multiply all values by `factor`, clipped at 255."""
    return np.asarray(cv2.convertScaleAbs(photo, alpha=factor), np.uint8)


def noise(photo: Pixels, sigma: float, random: Random) -> Pixels:
    """Add independent Gaussian noise of `sigma` levels, equal in the three channels of a greyscale photo."""
    grey = bool((photo[..., 0] == photo[..., 1]).all() and (photo[..., 1] == photo[..., 2]).all())
    grain = random.normal(0, sigma, (*photo.shape[:2], 1 if grey else 3))
    return np.asarray(np.clip(np.rint(photo + grain), 0, 255), np.uint8)


def jpeg(photo: Pixels, quality: int) -> Pixels:
    """Encode as JPEG 4:2:0 and decode again."""
    encoded = np.frombuffer(encode_jpeg(photo, quality), np.uint8)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1].copy()


def sharpen(photo: Pixels, amount: float, scale: float = 1.0) -> Pixels:
    """Subtract `amount` times a version blurred by 1.5 px from 1 + `amount` times the photo; draws halos."""
    return np.asarray(cv2.addWeighted(photo, 1 + amount, gaussian(photo, 1.5, scale), -amount, 0), np.uint8)


def encode_jpeg(photo: Pixels, quality: int) -> bytes:
    """Encode as JPEG 4:2:0; `quality`: 0 to 100."""
    ok, encoded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return encoded.tobytes()


def _filter(photo: Pixels, kernel: npt.NDArray[np.float32]) -> Pixels:
    return np.asarray(cv2.filter2D(photo, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


@dataclass(frozen=True)
class Rung:
    """One degradation of the ladder.

    Attributes:
        name: Shown in tables.
        blurred: Whether a face treated so must be called blurred (True), must not be (False), or either (None).
        apply: The degradation.
    """

    name: str
    blurred: bool | None
    apply: Degradation


def _gaussian(sigma: float) -> Degradation:
    return lambda photo, scale, random: gaussian(photo, sigma, scale)


def _motion(length: float) -> Degradation:
    return lambda photo, scale, random: motion(photo, length, random.uniform(0, 180), scale)


def _low_resolution(factor: float) -> Degradation:
    methods = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
    return lambda photo, scale, random: low_resolution(photo, factor * scale, methods[random.integers(3)])


def _noisy(inner: Degradation) -> Degradation:
    return lambda photo, scale, random: noise(inner(photo, scale, random), random.uniform(3, 8), random)


LADDER = (
    Rung("none", False, lambda photo, scale, random: photo),
    Rung("noise", False, _noisy(lambda photo, scale, random: photo)),
    Rung("JPEG 20", False, lambda photo, scale, random: jpeg(photo, 20)),
    Rung("sharpened", False, lambda photo, scale, random: sharpen(photo, 1.5, scale)),
    Rung("gaussian 1", None, _gaussian(1.0)),
    Rung("gaussian 1.5", None, _gaussian(1.5)),
    Rung("gaussian 2", True, _gaussian(2.0)),
    Rung("gaussian 3", True, _gaussian(3.0)),
    Rung("motion 7", None, _motion(7)),
    Rung("motion 11", True, _motion(11)),
    Rung("motion 15", True, _motion(15)),
    Rung("motion 22", True, _motion(22)),
    Rung("defocus 4", True, lambda photo, scale, random: defocus(photo, 4.0, scale)),
    Rung("low resolution 3", True, _low_resolution(3)),
    Rung("low resolution 5", True, _low_resolution(5)),
    Rung("low resolution 7", True, _low_resolution(7)),
    Rung("gaussian 2, noise", True, _noisy(_gaussian(2.0))),
    Rung("motion 11, noise", True, _noisy(_motion(11))),
    Rung("low resolution 3, noise", True, _noisy(_low_resolution(3))),
)
"""The degradations of the published figures, each evaluated at half and double brightness too."""
