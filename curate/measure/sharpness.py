"""Sharpness score of aligned faces: the blur statistics fused by a calibration.

No single statistic suffices: the finest detail shows the slightest blur but drowns in noise, the least steep direction
shows motion, the spectrum shows faces of few pixels, however their edges were sharpened. A weighted sum of them, each
limited to the range of the faces that it was fitted on, falls with every one of them: more blur never scores higher,
and no amount of sharpening extrapolates. The weights are fitted by `curate.evaluate.blur_fit`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from curate.errors import PolicyError
from curate.measure.sharpness_statistics import STATISTICS, VERSION, sharpness_statistics
from manifests.records import Limits, read_record

SOFTNESS = 3.0
"""Divides the log odds of the regression, so that scores far from the limit still differ."""

Bound = Annotated[float, Limits(low=-1e6, high=1e6)]
Weight = Annotated[float, Limits(low=0, high=1e6)]


@dataclass(frozen=True)
class BlurCalibration:
    """Weights that turn the statistics into one score: a monotone logistic regression.

        log odds = bias + sum_k weight_k clamp(statistic_k, low_k, high_k)
        score    = sigmoid(log odds / SOFTNESS)

    Attributes:
        version: that of the statistics, equal to VERSION.
        statistics: names, equal to STATISTICS; K of them.
        low, high: (K,), the range of each statistic.
        weight: (K,), at least 0.
        bias: log odds of a face whose statistics are all 0.
        provenance: origin of the faces, as free text and numbers.
    """

    version: int
    statistics: tuple[str, ...]
    low: tuple[Bound, ...]
    high: tuple[Bound, ...]
    weight: tuple[Weight, ...]
    bias: Bound
    provenance: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the JSON file that `load_calibration` reads."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load_calibration(path: Path | None = None) -> BlurCalibration:
    """Read a file written by `curate calibrate`, or the calibration that ships with the package.

    Raises:
        PolicyError: the file is missing, is no calibration of these statistics, or has a negative weight.
    """
    file = path or Path(str(resources.files("curate") / "weights" / "sharpness.json"))
    calibration = read_record(file, BlurCalibration, PolicyError, "create one with `curate calibrate`")
    if calibration.version != VERSION:
        raise PolicyError(
            f"{file} is for version {calibration.version} of the blur statistics, this is {VERSION}; create a new one "
            "with `curate calibrate`"
        )
    lengths = {len(calibration.low), len(calibration.high), len(calibration.weight)}
    if calibration.statistics != STATISTICS or lengths != {len(STATISTICS)}:
        raise PolicyError(
            f"{file} is for other statistics ({', '.join(map(repr, calibration.statistics))[:200]}) than "
            f"{', '.join(STATISTICS)}; create a new one with `curate calibrate`"
        )
    return calibration


def sharpness(crops: Tensor, labels: Tensor, points: Tensor, calibration: BlurCalibration) -> dict[str, Tensor]:
    """Measure `sharpness_statistics` of N crops and their `sharpness_score` as column `sharpness`."""
    columns = sharpness_statistics(crops, labels, points)
    return columns | {"sharpness": sharpness_score(columns, calibration)}


def sharpness_score(columns: Mapping[str, Tensor], calibration: BlurCalibration) -> Tensor:
    """Score faces from their stored statistics alone; another calibration rescores them without reading a pixel.

    Args:
        columns: STATISTICS, each (N,).
        calibration: the weights.

    Returns:
        float32 (N,): 0 is blurred, 1 is sharp, 0.5 is the limit.
    """
    values = limited(columns, calibration.low, calibration.high)
    odds = calibration.bias + values @ values.new_tensor(calibration.weight)
    return torch.sigmoid(odds / SOFTNESS).float()


def limited(columns: Mapping[str, Tensor], low: tuple[float, ...], high: tuple[float, ...]) -> Tensor:
    """Return the statistics limited to their ranges, float64 (N, K)."""
    values = torch.stack([columns[name].double() for name in STATISTICS], 1)
    return values.maximum(values.new_tensor(low)).minimum(values.new_tensor(high))
