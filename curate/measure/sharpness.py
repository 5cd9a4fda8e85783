"""Sharpness score of aligned faces: the blur statistics fused by a calibration.

No single statistic suffices: noise hides a blur from the fine ones, and a dim photo weakens the noise-proof ones. A
logistic regression weighs them, fitted on synthetic degradations by `curate.evaluate.blur_fit`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from curate.errors import PolicyError
from curate.measure.sharpness_statistics import STATISTICS, sharpness_statistics
from manifests.records import Limits, read_record

MAX_Z = 4.0
"""Standardised statistics are clamped to [-MAX_Z, MAX_Z]."""

SOFTNESS = 8.0
"""Divides the log odds of the regression, so that scores far from the limit still differ: sharp portraits score about
0.8, enlarged 100 px faces 0.3-0.6, and `collection_limit` can separate those from blurred ones."""

FREE_UPSCALE = 2.0
"""Crop px per source px up to which a face is scored by its pixels alone; beyond it, the factor itself counts."""


Weight = Annotated[float, Limits(low=-1e6, high=1e6)]


@dataclass(frozen=True)
class BlurCalibration:
    """Weights that turn the statistics and the upscale factor into one score: a second-order logistic regression.

    With z_i = clamp((statistic_i - mean_i) / spread_i, -MAX_Z, MAX_Z):

        log odds = bias + sum_i linear_i z_i + sum_{i<=j} square_ij z_i z_j + enlarged * octaves
        octaves  = max(0, log2(upscale / FREE_UPSCALE))
        score    = sigmoid(log odds / SOFTNESS)

    Attributes:
        statistics: names, equal to STATISTICS; K of them.
        mean, spread: (K,), of the statistics of the calibration's faces.
        linear: (K,); square: (K (K + 1) / 2,), row by row of the upper triangle.
        enlarged: at most 0; bias.
        provenance: origin of the faces, as free text and numbers.
    """

    statistics: tuple[str, ...]
    mean: tuple[Weight, ...]
    spread: tuple[Annotated[float, Limits(low=1e-6, high=1e6)], ...]
    linear: tuple[Weight, ...]
    square: tuple[Weight, ...]
    enlarged: Annotated[float, Limits(low=-1e6, high=0)]
    bias: Weight
    provenance: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the JSON file that `load_calibration` reads."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load_calibration(path: Path | None = None) -> BlurCalibration:
    """Read a file written by `curate calibrate`, or the calibration that ships with the package.

    Raises:
        PolicyError: the file is missing, or is no calibration of these statistics.
    """
    file = path or Path(str(resources.files("curate") / "weights" / "sharpness.json"))
    calibration = read_record(file, BlurCalibration, PolicyError, "create one with `curate calibrate`")
    count = len(STATISTICS)
    lengths = (len(calibration.mean), len(calibration.spread), len(calibration.linear), len(calibration.square))
    if calibration.statistics != STATISTICS or lengths != (count, count, count, count * (count + 1) // 2):
        raise PolicyError(
            f"{file} is for other statistics ({', '.join(calibration.statistics)}) than "
            f"{', '.join(STATISTICS)}; create a new one with `curate calibrate`"
        )
    return calibration


def sharpness(
    crops: Tensor, labels: Tensor, points: Tensor, upscale: Tensor, calibration: BlurCalibration
) -> dict[str, Tensor]:
    """Measure `sharpness_statistics` of N crops and their `sharpness_score` as column `sharpness`."""
    columns = sharpness_statistics(crops, labels, points)
    return columns | {"sharpness": sharpness_score(columns, upscale, calibration)}


def sharpness_score(columns: Mapping[str, Tensor], upscale: Tensor, calibration: BlurCalibration) -> Tensor:
    """Score faces from their stored statistics alone; another calibration rescores them without reading a pixel.

    Args:
        columns: STATISTICS, each (N,).
        upscale: (N,), crop px per source px of the 224 px crop.
        calibration: the weights.

    Returns:
        float32 (N,): 0 is blurred, 1 is sharp, 0.5 is the limit.
    """
    z = standardised(columns, calibration.mean, calibration.spread)
    terms = second_order(z)
    weights = torch.tensor(calibration.linear + calibration.square, dtype=torch.float64, device=z.device)
    penalty = calibration.enlarged * enlargement(upscale.to(z.device))
    return torch.sigmoid((calibration.bias + terms @ weights + penalty) / SOFTNESS).float()


def standardised(columns: Mapping[str, Tensor], mean: Sequence[float], spread: Sequence[float]) -> Tensor:
    """Return z: float64 (N, K), the statistics centred, scaled and clamped to [-MAX_Z, MAX_Z]."""
    values = torch.stack([columns[name].double() for name in STATISTICS], 1)
    return ((values - values.new_tensor(mean)) / values.new_tensor(spread)).clamp(-MAX_Z, MAX_Z)


def second_order(z: Tensor) -> Tensor:
    """Return (N, K + K (K + 1) / 2): z_i, then z_i z_j for i <= j."""
    i, j = torch.triu_indices(z.shape[1], z.shape[1], device=z.device)
    return torch.cat((z, z[:, i] * z[:, j]), 1)


def enlargement(upscale: Tensor) -> Tensor:
    """Crop px per source px (N,) -> octaves beyond FREE_UPSCALE, float64 (N,), at least 0."""
    return torch.log2(upscale.double().clamp(min=1e-6) / FREE_UPSCALE).clamp(min=0)
