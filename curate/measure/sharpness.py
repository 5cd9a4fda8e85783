"""Aligned crops in, sharpness out: contrast-free statistics inside the face, and one calibrated score of them.

All statistics are taken on the luma of the 224 px crop, where the eyes are about 65 px apart whatever the photo's
size, as ratios of energies (so that light and contrast cancel), averaged over the face without its outline (so that
neither a blurred background nor a sharp one counts). No one of them is enough: noise hides a blur from the fine ones,
a dim photo weakens the noise-proof ones. `fuse` weighs them with weights fitted on synthetic degradations
(`curate.evaluate.calibrate`).
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from curate.errors import PolicyError
from curate.measure.region import CELL, face_region

SIZE = 224
TOP, LEFT, SIDE = 48, 32, 160
"""The square of the crop that is looked at: on the simswap-224 template the face lies inside."""

EROSION = 2  # cells of 4 px
FLOOR = 0.05
"""Energy, in squared grey levels, added to both sides of a ratio: what rounding to 8 bits leaves (1/12) and less."""

STATISTICS = (
    "laplacian",
    "tenengrad",
    "band_ratio",
    "fine_ratio",
    "reblur",
    "edge_ratio",
    "edge_ratio_min",
)


@dataclass(frozen=True)
class Calibration:
    """How the statistics and the upscale factor make one score: a logistic regression of second order.

    With z = (statistic - mean) / spread, held within LIMIT, the score is the logistic function of 1 / SOFTNESS times
    bias + sum_i linear_i z_i + sum_i<=j square_ij z_i z_j + enlarged log2(upscale / FREE_UPSCALE)+.
    """

    statistics: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    linear: tuple[float, ...]
    square: tuple[float, ...]
    enlarged: float
    bias: float
    provenance: dict[str, Any]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


LIMIT = 4.0
SOFTNESS = 8.0
"""Divides the regression's log odds, so that scores far from the limit still differ: sharp portraits come to about
0.8, enlarged 100 px faces to 0.3-0.6, and `collection_limit` can tell those from blurred ones."""
FREE_UPSCALE = 2.0
"""Crop px per source px up to which a face is judged by its pixels alone; beyond it, the factor itself counts."""


def load_calibration(path: Path | None = None) -> Calibration:
    """A file made by `curate calibrate`, or the one shipped with the package.

    Raises PolicyError where the file is missing or is no calibration for these statistics.
    """
    shipped = resources.files("curate") / "weights" / "sharpness.json"
    try:
        fields = json.loads((path or shipped).read_text())
        numbers = {name: tuple(map(float, fields[name])) for name in ("mean", "spread", "linear", "square")}
        calibration = Calibration(
            statistics=tuple(fields["statistics"]),
            **numbers,
            enlarged=float(fields["enlarged"]),
            bias=float(fields["bias"]),
            provenance=dict(fields["provenance"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise PolicyError(
            f"{path or shipped} is no blur calibration ({error!r}); make one by `curate calibrate`"
        ) from error
    count = len(STATISTICS)
    lengths = (len(calibration.mean), len(calibration.spread), len(calibration.linear), len(calibration.square))
    if calibration.statistics != STATISTICS or lengths != (count, count, count, count * (count + 1) // 2):
        raise PolicyError(
            f"{path or shipped} was made for other statistics ({', '.join(calibration.statistics)}) than "
            f"{', '.join(STATISTICS)}; make it anew by `curate calibrate`"
        )
    return calibration


def sharpness(
    crops: Tensor, labels: Tensor, points: Tensor, upscale: Tensor, calibration: Calibration
) -> dict[str, Tensor]:
    """The columns of `statistics` and, from them, `fuse`'s score as `sharpness`; arguments as there."""
    columns = statistics(crops, labels, points)
    return columns | {"sharpness": fuse(columns, upscale, calibration)}


def fuse(columns: Mapping[str, Tensor], upscale: Tensor, calibration: Calibration) -> Tensor:
    """STATISTICS (N,) each and upscale (N,) in crop px per source px -> scores float32 (N,).

    0 is blurred, 1 sharp, 0.5 the limit.
    Needs the stored columns alone: another calibration gives other scores without looking at a pixel.
    """
    z = standardised(columns, calibration.mean, calibration.spread)
    terms = second_order(z)
    weights = torch.tensor(calibration.linear + calibration.square, dtype=torch.float64, device=z.device)
    penalty = calibration.enlarged * enlargement(upscale.to(z.device))
    return torch.sigmoid((calibration.bias + terms @ weights + penalty) / SOFTNESS).float()


def standardised(columns: Mapping[str, Tensor], mean: Sequence[float], spread: Sequence[float]) -> Tensor:
    """Columns -> float64 (N, len(STATISTICS)), centred, scaled and held within LIMIT."""
    values = torch.stack([columns[name].double() for name in STATISTICS], 1)
    return ((values - values.new_tensor(mean)) / values.new_tensor(spread)).clamp(-LIMIT, LIMIT)


def second_order(z: Tensor) -> Tensor:
    """(N, K) -> (N, K + K (K + 1) / 2): z_i, then z_i z_j for i <= j."""
    i, j = torch.triu_indices(z.shape[1], z.shape[1], device=z.device)
    return torch.cat((z, z[:, i] * z[:, j]), 1)


def enlargement(upscale: Tensor) -> Tensor:
    """Crop px per source px (N,) -> float64 (N,): octaves beyond FREE_UPSCALE."""
    return torch.log2(upscale.double().clamp(min=1e-6) / FREE_UPSCALE).clamp(min=0)


def luma(crops: Tensor) -> Tensor:
    """Crops (N, 3, H, W) RGB -> float32 (N, H, W), 0-255, ITU-R BT.601 weights."""
    red, green, blue = crops.unbind(1)
    return 0.299 * red.float() + 0.587 * green.float() + 0.114 * blue.float()


def statistics(crops: Tensor, labels: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Crops uint8 (N, 3, 224, 224), labels uint8 (N, 224, 224), points (N, 5, 2) -> STATISTICS, each float32 (N,).

    - `laplacian`: log10 of the Laplacian's energy over the luma's variance; `tenengrad`: the same of the gradient's.
    - `band_ratio`: log10 of the energy between sigma 1 and 2 px over that between 4 and 8 px.
    - `fine_ratio`: log10 of the energy below sigma 1 px over that between 1 and 2 px; high in noise.
    - `reblur`: how much a 9 px box blur changes neighbouring differences, 0 (blurred already) to 1, the lesser of
      both directions. Crete et al., "The blur effect", 2007, as one minus their measure.
    - `edge_ratio`: how much steeper edges are after smoothing by sigma 1 than by 2 px, mean over four directions,
      weighted by the square of the smooth gradient; a step edge gives 2 when sharp, 1 when wide. After Zhuo and Sim,
      "Defocus map estimation from a single image", 2011. `edge_ratio_min`: the least of the four (motion blur).
    """
    if crops.shape[2:] != (SIZE, SIZE):
        raise ValueError(f"sharpness is measured on {SIZE} px crops, these are {tuple(crops.shape[2:])}")
    window = slice(TOP, TOP + SIDE), slice(LEFT, LEFT + SIDE)
    gray = luma(crops[:, :, *window])
    cells = face_region(labels, points, EROSION)[
        :, TOP // CELL : (TOP + SIDE) // CELL, LEFT // CELL : (LEFT + SIDE) // CELL
    ].float()
    cells = cells / (CELL**2 * cells.sum((1, 2), keepdim=True)).clamp(min=1)
    weight = cells.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)

    def mean(image: Tensor) -> Tensor:
        return (image.flatten(1)[:, None] @ weight.flatten(1)[:, :, None])[:, 0, 0]

    def log_ratio(above: Tensor, below: Tensor) -> Tensor:
        return torch.log10((above + FLOOR) / (below + FLOOR))

    smooth1, smooth2 = _gaussian(gray, 1.0), _gaussian(gray, 2.0)
    # Coarse bands hold nothing that a quarter of the pixels could not carry.
    half = F.avg_pool2d(smooth2, 2)
    low = _gaussian(half, math.sqrt(4.0**2 - 2.0**2) / 2) - _gaussian(half, math.sqrt(8.0**2 - 2.0**2) / 2)
    mid = mean((smooth1 - smooth2).square_())
    low_energy = mean(low.square_().repeat_interleave(2, 1).repeat_interleave(2, 2))
    variance = mean((gray - mean(gray)[:, None, None]).square_())
    edges = _edge_ratios(smooth1, smooth2, mean)
    return {
        "laplacian": log_ratio(mean(_laplacian(gray).square_()), variance),
        "tenengrad": log_ratio(mean(_sobel(gray)), variance),
        "band_ratio": log_ratio(mid, low_energy),
        "fine_ratio": log_ratio(mean((gray - smooth1).square_()), mid),
        "reblur": _reblur(gray, mean),
        "edge_ratio": edges.mean(1),
        "edge_ratio_min": edges.amin(1),
    }


def _edge_ratios(smooth1: Tensor, smooth2: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
    """Luma smoothed by sigma 1 and by 2 px -> how much steeper the edges of the former are, (N, 4) directions."""
    (gx1, gy1), (gx2, gy2) = _gradient(smooth1), _gradient(smooth2)
    # A derivative along (c, s) is c gx + s gy, so six means give the energies of all directions.
    fine = mean(gx1 * gx2), mean(gy1 * gy2), mean(gx1 * gy2 + gy1 * gx2)
    wide = mean(gx2 * gx2), mean(gy2 * gy2), mean(gx2 * gy2) * 2
    ratios = []
    for c, s in ((1.0, 0.0), (math.sqrt(0.5), math.sqrt(0.5)), (0.0, 1.0), (-math.sqrt(0.5), math.sqrt(0.5))):
        above, below = (c * c * x + s * s * y + c * s * xy for x, y, xy in (fine, wide))
        ratios.append((above + FLOOR) / (below + FLOOR))
    return torch.stack(ratios, 1)


def _gaussian(image: Tensor, sigma: float) -> Tensor:
    """Images (N, H, H) -> the same smoothed, edges repeated. One dense product a side beats a narrow convolution."""
    place = torch.arange(image.shape[2], device=image.device, dtype=image.dtype)
    kernel = torch.exp(-((place[:, None] - place) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    return kernel @ (image @ kernel.T)


def _pad(image: Tensor) -> Tensor:
    return F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]


def _gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    p = _pad(image)
    return (p[:, 1:-1, 2:] - p[:, 1:-1, :-2]) / 2, (p[:, 2:, 1:-1] - p[:, :-2, 1:-1]) / 2


def _sobel(image: Tensor) -> Tensor:
    """Squared gradient of the 3x3 Sobel filters."""
    p = _pad(image)
    rows = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    columns = p[:, :, :-2] + 2 * p[:, :, 1:-1] + p[:, :, 2:]
    return (rows[:, :, 2:] - rows[:, :, :-2]).square_() + (columns[:, 2:] - columns[:, :-2]).square_()


def _laplacian(image: Tensor) -> Tensor:
    p = _pad(image)
    return p[:, 1:-1, 2:] + p[:, 1:-1, :-2] + p[:, 2:, 1:-1] + p[:, :-2, 1:-1] - 4 * image


def _reblur(gray: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
    across = []
    for image in (gray, gray.mT):
        before = image.diff(dim=2, append=image[:, :, -1:])
        # Differences of a 9 px running mean: (x[i + 5] - x[i - 4]) / 9.
        after = torch.zeros_like(before)
        after[:, :, 4:-5] = (image[:, :, 9:] - image[:, :, :-9]) / 9
        before, after = before.abs_(), after.abs_()
        lost = (before - after).clamp_(min=0)
        if image is not gray:
            lost, before = lost.mT, before.mT
        across.append((mean(lost) + FLOOR) / (mean(before) + FLOOR))
    return torch.minimum(*across)
