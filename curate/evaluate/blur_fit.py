"""Fit of a blur calibration: sharp crops are degraded in known ways, and a logistic regression separates the two.

The crops have the template simswap-224, on which the eyes are 65 px apart, 1.03 times the 256 px face scale. The sizes
of the ladder are therefore multiplied by CROP_SCALE, and blur is applied *after* alignment, not before. All given crops
are taken as sharp; blur that is already in them is not corrected for. The sharpness limit is where RESERVE of the sharp
versions (including noisy, dim, bright and JPEG 20 ones) are below it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.errors import SourceError
from curate.evaluate import degradations
from curate.evaluate.degradations import LADDER
from curate.measure.sharpness import BlurCalibration, enlargement, second_order, standardised
from curate.measure.sharpness_statistics import STATISTICS, sharpness_statistics

Pixels = npt.NDArray[np.uint8]

CROP_SCALE = 65.08 / degradations.EYE_DISTANCE
BRIGHTNESS = (1.0, 0.5, 2.0)
SHARP_VERSIONS, BLURRED_VERSIONS = 4, 8
"""Number of versions of each face, chosen at random from the ladder at each BRIGHTNESS."""

RESERVE = 0.01
MIN_FACES = 50
RIDGE = 3e-4
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
        upscale: Crop px per source px.
    """

    crop: Pixels
    labels: npt.NDArray[np.uint8]
    points: npt.NDArray[np.floating]
    upscale: float


@dataclass(frozen=True)
class DegradedStatistics:
    """Sharpness statistics of M versions of faces.

    Attributes:
        columns: Each of STATISTICS -> (M,).
        upscale: (M,) crop px per source px.
        blurred: (M,) bool.
        original: (M,) bool, versions that are the face as given.
    """

    columns: dict[str, Tensor]
    upscale: Tensor
    blurred: Tensor
    original: Tensor


def fit_calibration(
    faces: Iterable[AlignedFace], seed: int = 0, provenance: dict[str, Any] | None = None
) -> BlurCalibration:
    """Fit a blur calibration. The same faces and seed give the same numbers.

    Args:
        faces: Sharp faces.
        seed: Of the degradations.
        provenance: Stored with the calibration, beside the number of faces and the seed.

    Raises SourceError for fewer than MIN_FACES faces.
    """
    data = degraded_statistics(faces, seed)
    count = int(data.original.sum())
    if count < MIN_FACES:
        raise SourceError(f"{count} faces are too few to calibrate blur on; give at least {MIN_FACES} sharp ones")
    values = torch.stack([data.columns[name].double() for name in STATISTICS], 1)
    mean, spread = values.mean(0).tolist(), values.std(0).clamp(min=1e-6).tolist()
    terms = second_order(standardised(data.columns, mean, spread))
    inputs = torch.cat((terms, enlargement(data.upscale)[:, None], torch.ones(len(terms), 1)), 1)
    weights = _fit(inputs, data.blurred, data.original)
    weights[-2] = weights[-2].clamp(max=0)  # enlarging never sharpens
    scores = inputs[~data.blurred] @ weights
    weights[-1] -= torch.quantile(scores, RESERVE)
    linear = len(STATISTICS)
    return BlurCalibration(
        statistics=STATISTICS,
        mean=tuple(mean),
        spread=tuple(spread),
        linear=tuple(weights[:linear].tolist()),
        square=tuple(weights[linear:-2].tolist()),
        enlarged=float(weights[-2]),
        bias=float(weights[-1]),
        provenance={"faces": count, "seed": seed, **(provenance or {})},
    )


def degraded_statistics(faces: Iterable[AlignedFace], seed: int) -> DegradedStatistics:
    """Degrade faces at random and measure the sharpness statistics of all versions."""
    random = np.random.default_rng(seed)
    batch: list[AlignedFace] = []
    parts: list[dict[str, Tensor]] = []
    upscale, blurred, original = [], [], []

    def measure() -> None:
        pixels = torch.from_numpy(np.stack([face.crop for face in batch])).permute(0, 3, 1, 2).contiguous()
        labels = torch.from_numpy(np.stack([face.labels for face in batch]))
        points = torch.from_numpy(np.stack([face.points for face in batch])).float()
        parts.append(sharpness_statistics(pixels, labels, points))
        batch.clear()

    for face in faces:
        for version, is_blurred, is_original in _versions(face, random):
            batch.append(version)
            upscale.append(version.upscale)
            blurred.append(is_blurred)
            original.append(is_original)
            if len(batch) == BATCH:
                measure()
    if batch:
        measure()
    columns = {name: torch.cat([part[name] for part in parts] or [torch.zeros(0)]) for name in STATISTICS}
    return DegradedStatistics(
        columns, torch.tensor(upscale), torch.tensor(blurred), torch.tensor(original, dtype=torch.bool)
    )


def _versions(face: AlignedFace, random: np.random.Generator) -> Iterator[tuple[AlignedFace, bool, bool]]:
    """Yield the face and degraded versions of it: version, whether it is blurred, whether it is the face as given."""
    yield face, False, True
    for is_blurred, count in ((False, SHARP_VERSIONS), (True, BLURRED_VERSIONS)):
        rungs = [rung for rung in LADDER if rung.blurred is is_blurred]
        for index in random.permutation(len(rungs) * len(BRIGHTNESS))[:count]:
            rung, factor = rungs[index // len(BRIGHTNESS)], BRIGHTNESS[index % len(BRIGHTNESS)]
            crop = rung.apply(face.crop, CROP_SCALE, random)
            if is_blurred and random.random() < _JPEG_SHARE:
                crop = degradations.jpeg(crop, int(random.integers(20, 80)))
            crop = degradations.brightness(crop, factor)
            crop = _realigned(crop, random) if random.random() < _REALIGNED_SHARE else crop
            yield replace(face, crop=crop), is_blurred, False
    # A face that is small in its photo: the interpolation of the crop blurs it.
    factor = float(random.uniform(3.0, 5.0))
    crop = degradations.low_resolution(face.crop, factor * CROP_SCALE, cv2.INTER_LINEAR)
    yield replace(face, crop=crop, upscale=max(1.0, face.upscale) * factor), True, False


def _realigned(crop: Pixels, random: np.random.Generator) -> Pixels:
    """Shrink the crop to the 256 px face scale and align it again: as soft as a sharp photo of that size becomes."""
    small = degradations.smaller(crop, CROP_SCALE)
    (height, width), side = crop.shape[:2], small.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), random.uniform(-10, 10), width / side)
    matrix[:, 2] += (width - side) / 2
    return np.asarray(cv2.warpAffine(small, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _fit(inputs: Tensor, blurred: Tensor, originals: Tensor) -> Tensor:
    """Fit a logistic regression for "sharp" to inputs float64 (M, K), the last one constant; returns weights (K,).

    Both classes have the same total weight; among the sharp versions, the originals have half of it.
    """
    target = (~blurred).double()
    weight = torch.zeros_like(target)
    for group in (blurred, originals, ~blurred & ~originals):
        weight[group] = (1.0 if group is blurred else 0.5) / group.sum()
    ridge = torch.full((inputs.shape[1],), RIDGE, dtype=torch.float64)
    ridge[-1] = 0
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64)
    # Newton's method: the loss is convex, and the ridge keeps its curvature away from zero.
    for _ in range(50):
        probability = torch.sigmoid(inputs @ weights)
        gradient = inputs.T @ (weight * (probability - target)) + ridge * weights
        curvature = (inputs * (weight * probability * (1 - probability))[:, None]).T @ inputs + torch.diag(ridge + 1e-9)
        step = torch.linalg.solve(curvature, gradient)
        weights = weights - step / max(1.0, float(step.abs().max()) / 3)
        if step.abs().max() < 1e-6:
            break
    return weights
