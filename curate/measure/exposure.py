"""Exposure and colour of aligned faces: brightness, clipping, contrast, skin tone.

Dark skin is not a dark photo. An exposure is unusable where detail is lost: pixels at the ends of the scale
(`clipped_dark`, `clipped_bright`) and fine structure that has shrunk to a few grey levels (`local_contrast`). A dark
face in good light has highlights, whites of the eyes and shading as strong as a light one.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.measure.cells import halved
from curate.measure.region import CELL, face_region, skin_region
from curate.measure.thinned import Thinned

DARK, BRIGHT = 12, 248
"""Luma at or below which a pixel counts as clipped to black, and at or above which as clipped to white."""

GREY_CHROMA = 2.0
"""Mean distance between the colour channels, in levels, below which a crop counts as greyscale."""

MIN_SKIN = 0.02
"""Share of the crop that must be skin for a skin tone."""


def exposure(thinned: Thinned, labels: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Measure the exposure of N faces, inside `face_region`.

    Args:
        thinned: of crops (N, 3, H, W); 2,000 pixels and more in a face suffice.
        labels: uint8 (N, H, W), label maps.
        points: (N, 5, 2), landmarks in crop px.

    Returns:
        float32 (N,) each:

        - `brightness`: median luma of the face, 0-255; `contrast`: its 95th minus its 5th percentile.
        - `clipped_dark`, `clipped_bright`: shares of the face's pixels at or beyond DARK and BRIGHT, 0-1.
        - `local_contrast`: root mean square, over the face, of the luma's standard deviation within 16 px, in levels.
        - `ita`: individual typology angle of the skin in degrees, atan((L* - 50) / b*), about 55 and more for very
          light skin, under -30 for dark; NaN for greyscale photos and where no skin is labelled. It depends on the
          light as well as on the skin. Chardon et al., 1991.
        - `colourfulness`: of the whole crop, 0 for grey, about 30-60 for usual photos. Hasler and Süsstrunk, 2003.
    """
    gray = thinned.luma
    region = face_region(labels, points)
    pixel_region = region.repeat_interleave(CELL // 2, 1).repeat_interleave(CELL // 2, 2)
    cumulative = _histogram(gray, pixel_region).cumsum(1)
    cumulative = cumulative / cumulative[:, -1:].clamp(min=1)

    def percentile(q: float) -> Tensor:
        return (cumulative < q).sum(1).float()

    colourfulness, chroma = _colour(thinned.planes)
    ita = _typology_angle(thinned.cells, skin_region(labels))
    return {
        "brightness": percentile(0.5),
        "contrast": percentile(0.95) - percentile(0.05),
        "clipped_dark": cumulative[:, DARK],
        "clipped_bright": 1 - cumulative[:, BRIGHT - 1],
        "local_contrast": _local_contrast(gray, region),
        "ita": torch.where(chroma < GREY_CHROMA, torch.nan, ita),
        "colourfulness": colourfulness,
    }


def _histogram(gray: Tensor, region: Tensor) -> Tensor:
    """Luma (N, H, W) and region bool (N, H, W) -> histogram of the levels inside it, float32 (N, 256)."""
    if gray.device.type == "cpu":
        levels, inside = gray.round().byte().numpy(), region.byte().numpy()
        pairs = zip(levels, inside, strict=True)
        histograms = [cv2.calcHist([image], [0], mask, [256], [0, 256]) for image, mask in pairs]
        return torch.from_numpy(np.asarray(histograms, np.float32).reshape(len(gray), 256))
    # Pixels outside are counted in a 257th level.
    bins = torch.where(region, gray.round().long(), 256).flatten(1)
    counts = torch.zeros(len(gray), 257, device=gray.device)
    return counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=counts.dtype))[:, :256]


def _local_contrast(gray: Tensor, region: Tensor) -> Tensor:
    """Luma of every second pixel (N, H, W), cells of the face bool (N, H / 2, W / 2) -> levels, (N,)."""
    count = _mean_of_8(torch.ones_like(gray[:1]))
    mean, square = _mean_of_8(gray) / count, _mean_of_8(gray.square()) / count
    variance = (square - mean**2).clamp(min=0)
    inside = region.float()
    return ((variance * inside).sum((1, 2)) / inside.sum((1, 2))).sqrt()


def _mean_of_8(image: Tensor) -> Tensor:
    """Mean of 8 x 8 px around every second one, 0 beyond the border: (N, H, W) -> (N, H / 2, W / 2)."""
    pairs = halved(F.pad(image, (3, 3, 3, 3)))
    rows = pairs[:, :-3] + pairs[:, 1:-2] + pairs[:, 2:-1] + pairs[:, 3:]
    return (rows[..., :-3] + rows[..., 1:-2] + rows[..., 2:-1] + rows[..., 3:]) / 16


def _colour(crops: Tensor) -> tuple[Tensor, Tensor]:
    """Crops float32 (N, 3, H, W) -> colourfulness (N,) and the mean distance between the channels (N,), in levels."""
    red, green, blue = halved(crops).flatten(2).unbind(1)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = (_variance(red_green) + _variance(yellow_blue)).sqrt()
    offset = (red_green.mean(1) ** 2 + yellow_blue.mean(1) ** 2).sqrt()
    return spread + 0.3 * offset, (red_green.abs() + yellow_blue.abs()).mean(1) / 2


def _variance(values: Tensor) -> Tensor:
    """Variance of values (N, P), unbiased, (N,): on a CPU in a third of the time of `torch.var`."""
    return (values - values.mean(1, keepdim=True)).square_().sum(1) / (values.shape[1] - 1)


def _typology_angle(pixels: Tensor, skin: Tensor) -> Tensor:
    """Pixels uint8 (N, 3, H, W), skin bool (N, H, W) -> degrees (N,), of the mean L* and b* of the skin pixels."""
    levels = torch.arange(256, device=pixels.device) / 255
    linear_of = torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    linear = linear_of[pixels.int()]
    weight = skin.float()
    # sRGB to CIE Y and Z under D65, relative to the white point.
    y = torch.einsum("nchw,c->nhw", linear, linear.new_tensor([0.2126, 0.7152, 0.0722]))
    z = torch.einsum("nchw,c->nhw", linear, linear.new_tensor([0.0193, 0.1192, 0.9505])) / 1.0888
    fy, fz = (torch.where(v > 0.008856, v.clamp(min=1e-6) ** (1 / 3), 7.787 * v + 16 / 116) for v in (y, z))
    count = weight.sum((1, 2))
    lightness = ((116 * fy - 16) * weight).sum((1, 2)) / count.clamp(min=1)
    yellow = (200 * (fy - fz) * weight).sum((1, 2)) / count.clamp(min=1)
    angle = torch.rad2deg(torch.atan2(lightness - 50, yellow.clamp(min=1e-3)))
    return torch.where(count >= MIN_SKIN * weight[0].numel(), angle, torch.nan)
