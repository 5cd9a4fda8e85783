"""Sharp crops in, a calibration of blur out: degrade them in known ways and learn to tell the two apart.

The crops are simswap-224 ones, on which the eyes are 65 px apart: 1.03 px of the 256 px face scale, so that the
ladder's sizes are multiplied by CROP_SCALE and a blur is laid on *after* alignment, not before. Nothing is known of
blur that lies in the crops already: all are taken for sharp. The limit is where RESERVE of
the sharp versions (noisy, dim, bright, JPEG 20 ones included) fall below it.
"""

from collections.abc import Iterable
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
Floats = npt.NDArray[np.floating]
Face = tuple[Pixels, Pixels, Floats, float]

CROP_SCALE = 65.08 / degradations.EYE_DISTANCE
BRIGHTNESS = (1.0, 0.5, 2.0)
SHARP_VERSIONS, BLURRED_VERSIONS = 4, 8
"""How many versions are made of each face, chosen at random from the ladder at each BRIGHTNESS."""

RESERVE = 0.01
MIN_FACES = 50
RIDGE = 3e-4
BATCH = 32


def calibrate(faces: Iterable[Face], seed: int = 0, provenance: dict[str, Any] | None = None) -> BlurCalibration:
    """Sharp faces -> a BlurCalibration.

    Each face is (crop uint8 (224, 224, 3) RGB aligned to simswap-224, labels uint8 (224, 224), points (5, 2) in crop
    px, upscale in crop px per source px). The same faces and seed give the same numbers. `provenance` is stored
    with them: say where the faces are from. Raises SourceError for fewer than MIN_FACES faces.
    """
    columns, upscale, blurred, originals = degraded_statistics(faces, seed)
    if originals.sum() < MIN_FACES:
        raise SourceError(
            f"{int(originals.sum())} faces are too few to calibrate blur on; give at least {MIN_FACES} sharp ones"
        )
    values = torch.stack([columns[name].double() for name in STATISTICS], 1)
    mean, spread = values.mean(0).tolist(), values.std(0).clamp(min=1e-6).tolist()
    terms = second_order(standardised(columns, mean, spread))
    inputs = torch.cat((terms, enlargement(upscale)[:, None], torch.ones(len(terms), 1)), 1)
    weights = _fit(inputs, blurred, originals)
    weights[-2] = weights[-2].clamp(max=0)  # enlarging never sharpens
    scores = inputs[~blurred] @ weights
    weights[-1] -= torch.quantile(scores, RESERVE)
    count = len(STATISTICS)
    return BlurCalibration(
        statistics=STATISTICS,
        mean=tuple(mean),
        spread=tuple(spread),
        linear=tuple(weights[:count].tolist()),
        square=tuple(weights[count:-2].tolist()),
        enlarged=float(weights[-2]),
        bias=float(weights[-1]),
        provenance={"faces": int(originals.sum()), "seed": seed, **(provenance or {})},
    )


def degraded_statistics(faces: Iterable[Face], seed: int) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Faces -> (STATISTICS of all their versions (M,), upscale (M,), blurred bool (M,), original bool (M,))."""
    random = np.random.default_rng(seed)
    batch: list[Face] = []
    parts: list[dict[str, Tensor]] = []
    upscale, blurred, originals = [], [], []

    def measure() -> None:
        crops, labels, points, _ = zip(*batch, strict=True)
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()
        parts.append(
            sharpness_statistics(pixels, torch.from_numpy(np.stack(labels)), torch.from_numpy(np.stack(points)).float())
        )
        batch.clear()

    for face in faces:
        for version, is_blurred, is_original in _versions(face, random):
            batch.append(version)
            upscale.append(version[3])
            blurred.append(is_blurred)
            originals.append(is_original)
            if len(batch) == BATCH:
                measure()
    if batch:
        measure()
    columns = {name: torch.cat([part[name] for part in parts] or [torch.zeros(0)]) for name in STATISTICS}
    return columns, torch.tensor(upscale), torch.tensor(blurred), torch.tensor(originals, dtype=torch.bool)


def _versions(face: Face, random: np.random.Generator) -> Iterable[tuple[Face, bool, bool]]:
    """A face -> it and some degraded versions, whether they count as blurred, whether they are the face as given."""
    crop, labels, points, upscale = face
    yield face, False, True
    for is_blurred, count in ((False, SHARP_VERSIONS), (True, BLURRED_VERSIONS)):
        rungs = [rung for rung in LADDER if rung.blurred is is_blurred]
        for index in random.permutation(len(rungs) * len(BRIGHTNESS))[:count]:
            rung, factor = rungs[index // len(BRIGHTNESS)], BRIGHTNESS[index % len(BRIGHTNESS)]
            treated = rung.apply(crop, CROP_SCALE, random)
            if is_blurred and random.random() < 0.25:
                treated = degradations.jpeg(treated, int(random.integers(20, 80)))
            treated = degradations.brightness(treated, factor)
            treated = _moved(treated, random) if random.random() < 0.7 else treated
            yield (treated, labels, points, upscale), is_blurred, False
    # Faces that are small in their photo: the crop's own interpolation blurs them.
    factor = float(random.uniform(3.0, 5.0))
    tiny = degradations.low_resolution(crop, factor * CROP_SCALE, cv2.INTER_LINEAR)
    yield (tiny, labels, points, max(1.0, upscale) * factor), True, False


def _moved(crop: Pixels, random: np.random.Generator) -> Pixels:
    """The crop at the 256 px face scale, aligned again: as soft as alignment makes a sharp photo of that size."""
    small = degradations.smaller(crop, CROP_SCALE)
    (height, width), side = crop.shape[:2], small.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), random.uniform(-10, 10), width / side)
    matrix[:, 2] += (width - side) / 2
    return np.asarray(cv2.warpAffine(small, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _fit(inputs: Tensor, blurred: Tensor, originals: Tensor) -> Tensor:
    """Inputs float64 (M, K), the last a constant -> weights (K,) of a logistic regression for "sharp".

    Both classes weigh the same; among the sharp, the originals weigh as much as all that was made of them.
    """
    target = (~blurred).double()
    weight = torch.zeros_like(target)
    for group in (blurred, originals, ~blurred & ~originals):
        weight[group] = (1.0 if group is blurred else 0.5) / group.sum()
    ridge = torch.full((inputs.shape[1],), RIDGE, dtype=torch.float64)
    ridge[-1] = 0
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64)
    # Newton's method: the loss is convex and the ridge keeps its curvature away from zero.
    for _ in range(50):
        probability = torch.sigmoid(inputs @ weights)
        gradient = inputs.T @ (weight * (probability - target)) + ridge * weights
        curvature = (inputs * (weight * probability * (1 - probability))[:, None]).T @ inputs + torch.diag(ridge + 1e-9)
        step = torch.linalg.solve(curvature, gradient)
        weights = weights - step / max(1.0, float(step.abs().max()) / 3)
        if step.abs().max() < 1e-6:
            break
    return weights
