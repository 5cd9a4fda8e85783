"""Effective resolution of a photo: the share of its pixels along each axis that carries detail.

Measured on the whole photo, not on the face: enlargement is a property of the file, and a face out of focus in front
of a sharp background is blurred (`sharpness`), not enlarged. A network of one hidden layer reads the cutoff from the
photo's spectrum (`spectrum`); `python -m bench.resolution --fit` fits it on photos of known size that were enlarged.
"""

import json
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from curate.measure.spectrum import FREQUENCIES, Gray, spectrum

Floats = npt.NDArray[np.float64]

REFERENCE = slice(1, 3)
"""Frequencies, 2/32 and 3/32 cycles per px, whose mean power every other one is relative to."""

NOISE_FREQUENCIES = (3, 5, 8, 11, 15)
"""Places of the frequencies at which the network sees the flat tiles: the noise floor."""


def photo_resolution(luma: Gray) -> dict[str, float]:
    """Measure `resolution` of a photo's luma, uint8 (H, W): 0-1, NaN where a side is shorter than 32 px."""
    values = spectrum(luma)
    return {"resolution": float("nan") if values is None else resolution(values)}


def resolution(values: npt.NDArray[np.floating]) -> float:
    """Return the share of a photo's pixels that carries detail, 0-1, from its `spectrum`."""
    return float(2.0 ** octaves(values))


def octaves(values: npt.NDArray[np.floating]) -> Floats:
    """Estimate the octaves of enlargement, negative, from spectra (..., 2 * FREQUENCIES + 1): float64 (...).

    min(0, output(tanh(hidden(features)))), a network of one hidden layer.
    """
    weights = _weights()
    standard = (features(values) - weights["mean"]) / weights["spread"]
    hidden = np.tanh(standard @ weights["hidden"].T + weights["hidden_bias"])
    return np.asarray(np.minimum(0.0, hidden @ weights["output"] + weights["output_bias"]), np.float64)


def features(values: npt.NDArray[np.floating]) -> Floats:
    """What the network sees of spectra: (..., 23), powers relative to REFERENCE, its level, and the repeated lines."""
    values = values.astype(np.float64)
    textured, flat = values[..., :FREQUENCIES], values[..., FREQUENCIES:-1]
    level = textured[..., REFERENCE].mean(-1, keepdims=True)
    return np.concatenate([textured - level, flat[..., list(NOISE_FREQUENCIES)] - level, level, values[..., -1:]], -1)


@cache
def _weights() -> dict[str, Floats]:
    fields = json.loads((resources.files("curate") / "weights" / "resolution.json").read_text())
    return {name: np.array(value) for name, value in fields.items() if name != "provenance"}
