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
    """Return 2^y, at most 1, where y = output(tanh(hidden(features))) is the estimated octaves of enlargement."""
    weights = _weights()
    standard = (features(values) - weights["mean"]) / weights["spread"]
    hidden = np.tanh(weights["hidden"] @ standard + weights["hidden_bias"])
    octaves = float(weights["output"] @ hidden + weights["output_bias"])
    return float(2.0 ** min(0.0, octaves))


def features(values: npt.NDArray[np.floating]) -> Floats:
    """What the network sees of a `spectrum`: (23,), powers relative to REFERENCE, its level, and the repeated lines."""
    textured, flat = values[:FREQUENCIES].astype(np.float64), values[FREQUENCIES:-1].astype(np.float64)
    level = textured[REFERENCE].mean()
    return np.concatenate([textured - level, flat[list(NOISE_FREQUENCIES)] - level, [level], values[-1:]])


@cache
def _weights() -> dict[str, Floats]:
    fields = json.loads((resources.files("curate") / "weights" / "resolution.json").read_text())
    return {name: np.array(value) for name, value in fields.items() if name != "provenance"}
