"""Fit of a blur calibration: sharp crops are degraded in known ways, and a monotone regression separates the two.

The crops have the template simswap-224, on which the eyes are 65 px apart, 1.03 times the 256 px face scale. The sizes
of the ladder are therefore multiplied by CROP_SCALE, and blur is applied *after* alignment, not before. All given crops
are taken as sharp; blur that is already in them is not corrected for. Faces that a person labelled as sharp or blurred
can be added; they count as much as the degraded ones. The sharpness limit is where RESERVE of the sharp faces, as given
or labelled, are below it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.errors import SourceError
from curate.evaluate import degradations
from curate.evaluate.degradations import LADDER
from curate.measure.sharpness import BlurCalibration, limited
from curate.measure.sharpness_statistics import STATISTICS, VERSION, sharpness_statistics
from manifests.landmarks import TEMPLATES

Pixels = npt.NDArray[np.uint8]

CROP_SCALE = TEMPLATES["simswap-224"].eye_distance / degradations.EYE_DISTANCE
BRIGHTNESS = (1.0, 0.5)
"""Doubled brightness is evaluated but not fitted: it clips most of a well-exposed face, and clipping draws edges."""

SHARP_VERSIONS, BLURRED_VERSIONS = 4, 8
"""Number of versions of each face, chosen at random from the ladder at each BRIGHTNESS."""

RANGE = (0.01, 0.97)
"""Quantiles between which a statistic counts: beyond, more sharpening or more blur changes nothing."""

RESERVE = 0.01
MIN_FACES = 50
RIDGE = 0.03
"""Penalty of the squared weights of standardised statistics. It spreads the weight over statistics that agree on the
faces of the fit: each fails where another does not (the spectrum in clipped light, edges on sharpened small photos)."""

BATCH = 32

_JPEG_SHARE = 0.25
_REALIGNED_SHARE = 0.7


@dataclass(frozen=True)
class AlignedFace:
    """One face on its crop.

    Attributes:
        crop: uint8 (224, 224, 3) RGB with the template simswap-224.
        labels: uint8 (224, 224) label map.
        points: (5, 2) landmarks in crop px.
    """

    crop: Pixels
    labels: npt.NDArray[np.uint8]
    points: npt.NDArray[np.floating]


@dataclass(frozen=True)
class LabelledFace:
    """A face that a person looked at, and whether it is blurred."""

    face: AlignedFace
    blurred: bool


class Origin(IntEnum):
    """Where a version of a face comes from."""

    ORIGINAL = 0
    DEGRADED = 1
    LABELLED = 2


@dataclass(frozen=True)
class FitData:
    """Sharpness statistics of M versions of faces.

    Attributes:
        columns: each of STATISTICS -> (M,).
        blurred: (M,) bool.
        origin: int (M,), values of Origin.
    """

    columns: dict[str, Tensor]
    blurred: Tensor
    origin: Tensor


@dataclass
class _Collector:
    """Measures versions in batches of BATCH."""

    batch: list[AlignedFace] = field(default_factory=list)
    parts: list[dict[str, Tensor]] = field(default_factory=list)
    rows: list[tuple[bool, Origin]] = field(default_factory=list)

    def add(self, face: AlignedFace, blurred: bool, origin: Origin) -> None:
        self.batch.append(face)
        self.rows.append((blurred, origin))
        if len(self.batch) == BATCH:
            self.measure()

    def measure(self) -> None:
        if self.batch:
            pixels = torch.from_numpy(np.stack([face.crop for face in self.batch])).permute(0, 3, 1, 2).contiguous()
            labels = torch.from_numpy(np.stack([face.labels for face in self.batch]))
            points = torch.from_numpy(np.stack([face.points for face in self.batch])).float()
            self.parts.append(sharpness_statistics(pixels, labels, points))
            self.batch.clear()

    def data(self) -> FitData:
        self.measure()
        columns = {name: torch.cat([part[name] for part in self.parts] or [torch.zeros(0)]) for name in STATISTICS}
        blurred, origin = zip(*self.rows, strict=True) if self.rows else ((), ())
        return FitData(
            columns,
            torch.tensor(blurred, dtype=torch.bool),
            torch.tensor(origin, dtype=torch.int),
        )


def fit_calibration(
    faces: Iterable[AlignedFace],
    seed: int = 0,
    provenance: dict[str, Any] | None = None,
    labelled: Iterable[LabelledFace] = (),
) -> BlurCalibration:
    """Fit a blur calibration. The same faces and seed give the same numbers.

    Args:
        faces: sharp faces.
        seed: of the degradations.
        provenance: stored with the calibration, beside the numbers of faces and the seed.
        labelled: faces with a person's label, of any sharpness.

    Raises SourceError for fewer than MIN_FACES faces.
    """
    data = fit_data(faces, seed, labelled)
    count = int((data.origin == Origin.ORIGINAL).sum())
    if count < MIN_FACES:
        raise SourceError(f"{count} faces are too few to calibrate blur on; give at least {MIN_FACES} sharp ones")
    values = torch.stack([data.columns[name].double() for name in STATISTICS], 1)
    low, high = torch.quantile(values, torch.tensor(RANGE, dtype=torch.float64), dim=0)
    inputs = limited(data.columns, tuple(low.tolist()), tuple(high.tolist()))
    weight, bias = fit_monotone(inputs, ~data.blurred, _importance(data))
    sharp = ~data.blurred & (data.origin != Origin.DEGRADED)
    bias -= float(torch.quantile((inputs @ weight + bias)[sharp], RESERVE))
    counts = {"faces": count, "labelled": int((data.origin == Origin.LABELLED).sum()), "seed": seed}
    return BlurCalibration(
        version=VERSION,
        statistics=STATISTICS,
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        weight=tuple(weight.tolist()),
        bias=bias,
        provenance=counts | (provenance or {}),
    )


def fit_data(faces: Iterable[AlignedFace], seed: int, labelled: Iterable[LabelledFace] = ()) -> FitData:
    """Degrade faces at random and measure the sharpness statistics of all versions and of the labelled faces."""
    random = np.random.default_rng(seed)
    collector = _Collector()
    for face in faces:
        collector.add(face, False, Origin.ORIGINAL)
        for version, blurred in _versions(face, random):
            collector.add(version, blurred, Origin.DEGRADED)
    for seen in labelled:
        collector.add(seen.face, seen.blurred, Origin.LABELLED)
    return collector.data()


def _versions(face: AlignedFace, random: np.random.Generator) -> Iterator[tuple[AlignedFace, bool]]:
    """Yield degraded versions of a face, and whether each is blurred."""
    for blurred, count in ((False, SHARP_VERSIONS), (True, BLURRED_VERSIONS)):
        rungs = [rung for rung in LADDER if rung.blurred is blurred]
        for index in random.permutation(len(rungs) * len(BRIGHTNESS))[:count]:
            rung, factor = rungs[index // len(BRIGHTNESS)], BRIGHTNESS[index % len(BRIGHTNESS)]
            crop = rung.apply(face.crop, CROP_SCALE, random)
            if blurred and random.random() < _JPEG_SHARE:
                crop = degradations.jpeg(crop, int(random.integers(20, 80)))
            crop = degradations.brightness(crop, factor)
            crop = _realigned(crop, random) if random.random() < _REALIGNED_SHARE else crop
            yield replace(face, crop=crop), blurred


def _realigned(crop: Pixels, random: np.random.Generator) -> Pixels:
    """Shrink the crop to the 256 px face scale and align it again: as soft as a sharp photo of that size becomes."""
    small = degradations.smaller(crop, CROP_SCALE)
    (height, width), side = crop.shape[:2], small.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), random.uniform(-10, 10), width / side)
    matrix[:, 2] += (width - side) / 2
    return np.asarray(cv2.warpAffine(small, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _importance(data: FitData) -> Tensor:
    """Weights float64 (M,): blurred and sharp degraded versions and blurred and sharp labels have one in total each.

    Among the sharp versions, the faces as given have half of it.
    """
    weight = torch.zeros(len(data.blurred), dtype=torch.float64)
    labelled, original = data.origin == Origin.LABELLED, data.origin == Origin.ORIGINAL
    groups = (
        (1.0, data.blurred & ~labelled),
        (0.5, original),
        (0.5, ~data.blurred & ~labelled & ~original),
        (1.0, data.blurred & labelled),
        (1.0, ~data.blurred & labelled),
    )
    for total, group in groups:
        weight[group] = total / group.sum().clamp(min=1)
    return weight


def fit_monotone(inputs: Tensor, target: Tensor, importance: Tensor) -> tuple[Tensor, float]:
    """Fit a logistic regression whose weights are at least 0, with a RIDGE on standardised inputs.

    Args:
        inputs: float64 (M, K).
        target: bool (M,).
        importance: float64 (M,), the weight of each row.

    Returns:
        Weights float64 (K,) and the constant.
    """
    importance = importance / importance.sum()
    mean = (importance[:, None] * inputs).sum(0)
    spread = (importance[:, None] * (inputs - mean) ** 2).sum(0).sqrt().clamp(min=1e-6)
    standard = (inputs - mean) / spread
    active = list(range(inputs.shape[1]))
    while True:
        columns = torch.cat((standard[:, active], torch.ones(len(inputs), 1, dtype=torch.float64)), 1)
        found = _newton(columns, target.double(), importance)
        # A statistic that would count against sharpness is left out, the worst first.
        worst = int(found[:-1].argmin()) if active else -1
        if worst < 0 or found[worst] >= 0:
            break
        del active[worst]
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64)
    weights[active] = found[:-1]
    weights = weights / spread
    return weights, float(found[-1] - weights @ mean)


def _newton(inputs: Tensor, target: Tensor, importance: Tensor) -> Tensor:
    """Minimise the logistic loss by Newton's method: it is convex, and the ridge keeps its curvature above zero."""
    ridge = torch.full((inputs.shape[1],), RIDGE, dtype=torch.float64)
    ridge[-1] = 0
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64)
    for _ in range(50):
        probability = torch.sigmoid(inputs @ weights)
        gradient = inputs.T @ (importance * (probability - target)) + ridge * weights
        curvature = (inputs * (importance * probability * (1 - probability))[:, None]).T @ inputs
        step = torch.linalg.solve(curvature + torch.diag(ridge + 1e-9), gradient)
        weights = weights - step / max(1.0, float(step.abs().max()) / 3)
        if step.abs().max() < 1e-6:
            break
    return weights
