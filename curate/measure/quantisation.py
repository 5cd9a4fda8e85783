"""Quantisation of a photo: the coarsest step to which a JPEG coder ever rounded its low frequencies.

A step leaves a comb in the histogram of the coefficients of the 8 px blocks (Fan and de Queiroz, "Identification of
bitmap compression history", 2003). A photo that is saved again with a slightly finer table shows the comb of the finer
one; the earlier, coarser step is visible in how many coefficients fall on each tooth: some teeth get two of the
earlier levels and others none (Lukas and Fridrich, "Estimation of primary quantization matrix in double compressed
JPEG images", 2003). One frequency of a small photo rarely shows it; the steps of most tables are known up to one
number, their quality, which all frequencies together determine.
"""

from dataclasses import dataclass
from functools import cache
from math import erf, sqrt

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

MAX_STEP = 60
"""Largest step that is recognised, levels."""

_BLOCK = 8
_MAX_BLOCKS = 1500
_BINS = 4
"""Side of a JPEG block, px; blocks that are analysed; bins of a histogram per level."""

_MIN_COEFFICIENTS = 30
_MIN_AGREEMENT = 0.35
"""A comb needs so many coefficients that are not rounded to 0, and so high a mean cosine (1: all are multiples)."""

_LOW_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))

_MAX_TEETH, _MIN_TEETH = 40, 8
_MIN_ON_TEETH = 150
"""Teeth of a comb on which an earlier step is looked for, and the coefficients that they need together."""

_FEW_TEETH, _FEW_ON_TEETH = 4, 40
"""The same for a frequency that is judged with the others."""

_NOISE = 0.45
_MIN_TOOTH = 0.03
"""Standard deviation of a coefficient, levels, by rounding pixels and colours between two savings; least expected
share of a tooth that gets no earlier level."""

_MIN_SHARE, _MIN_JOINT_SHARE, _MIN_EXPLAINED = 0.3, 0.1, 20.0
"""An earlier step, or an earlier table, must explain this share of the squared deviations of the teeth's logarithm from
a smooth curve, and so many of them, in units of the variance that chance causes on a tooth."""

_STANDARD_STEPS = (11, 12, 12, 10, 14)
"""Steps of the standard table (ITU-T T.81, annex K) at the low frequencies; libjpeg scales them by the quality."""


def quantisation(gray: Gray) -> float:
    """Measure the coarsest step to which a JPEG coder rounded the luma, uint8 (H, W): levels, 1 where none is visible.

    The median over five low frequencies. NaN where the photo has fewer than 16 blocks.
    """
    height, width = gray.shape[0] // _BLOCK, gray.shape[1] // _BLOCK
    if height * width < 16:
        return float("nan")
    blocks = gray[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, width, _BLOCK).transpose(0, 2, 1, 3)
    blocks = blocks.reshape(-1, _BLOCK, _BLOCK) if height * width <= _MAX_BLOCKS else _thinned(blocks)
    coefficients = np.abs(blocks.reshape(len(blocks), -1).astype(np.float32) @ _DCT)
    return float(np.median(coarsest_steps(coefficients)))


def coarsest_steps(coefficients: npt.NDArray[np.float32]) -> list[int]:
    """Return the coarsest step of each of F frequencies from the sizes of B coefficients of each, (B, F)."""
    frequencies, levels = coefficients.shape[1], 256 * _BINS
    bins = np.minimum(coefficients * _BINS, levels - 1).astype(np.int64) + levels * np.arange(frequencies)
    histograms = np.bincount(bins.ravel(), minlength=levels * frequencies).reshape(-1, levels).astype(np.float32)
    counts = histograms @ _COUNTED.T  # (frequencies, steps)
    fits = (counts >= _MIN_COEFFICIENTS) & (histograms @ _COSINES.T > _MIN_AGREEMENT * counts)
    visible = [int(steps[-1]) + 2 if len(steps := np.flatnonzero(row)) else 1 for row in fits]
    evidence = [_evidence(*pair) if pair[1] > 1 else None for pair in zip(histograms, visible, strict=True)]
    single = [_earlier(step, part) for step, part in zip(visible, evidence, strict=True)]
    joint = _earlier_table(visible, evidence)
    return joint if joint is not None and np.median(joint) > np.median(single) else single


@dataclass(frozen=True)
class _Evidence:
    """How well earlier steps explain the coefficients on each tooth of a comb.

    Attributes:
        left: squared deviations of the teeth's logarithm from a smooth curve.
        explained: (steps,) how much of it each of `_steps` explains.
        teeth: of the comb that are used.
        coefficients: on these teeth.
    """

    left: float
    explained: Floats
    teeth: int
    coefficients: float


def _evidence(histogram: npt.NDArray[np.float32], step: int) -> _Evidence | None:
    """Compare the teeth of `step` with every earlier, coarser step; None where they are too few.

    The logarithm of the number of coefficients on each tooth is a smooth curve (four terms), plus that of the share
    that the earlier step puts there.
    """
    counts = np.diff(np.cumsum(histogram, dtype=np.float64)[_ends(step)])
    padded = np.cumsum(np.concatenate([[0.0], counts[:1].repeat(3), counts, counts[-1:].repeat(3)]))
    smooth = (padded[7:] - padded[:-7]) / 7
    used = int(np.argmax(smooth < 1)) if smooth.min() < 1 else len(smooth)
    coefficients = float(counts[:used].sum())
    if used < _FEW_TEETH or coefficients < _FEW_ON_TEETH or not _steps(step):
        return None
    weight = np.sqrt(smooth[:used] / (1 + 0.02 * smooth[:used]))
    basis = np.linalg.qr(_CURVE[:used] * weight[:, None])[0]
    plain = np.log(counts[:used] + 0.5) * weight
    left = float(plain @ plain - ((plain @ basis) ** 2).sum())
    values = plain - _shares(step)[:, :used] * weight
    return _Evidence(left, left - (values**2).sum(1) + ((values @ basis) ** 2).sum(1), used, coefficients)


def _earlier(step: int, evidence: _Evidence | None) -> int:
    """Return the coarser step to which one frequency was rounded before `step`; `step` where there is no sign of one.

    The step that leaves the least about the curve is chosen.
    """
    if evidence is None or evidence.teeth < _MIN_TEETH or evidence.coefficients < _MIN_ON_TEETH:
        return step
    if evidence.left < evidence.teeth + 3 * sqrt(2 * evidence.teeth):  # chance alone explains as much
        return step
    best = int(evidence.explained.argmax())
    is_seen = evidence.explained[best] > max(_MIN_SHARE * evidence.left, _MIN_EXPLAINED)
    return _steps(step)[best] if is_seen else step


def _earlier_table(visible: list[int], evidence: list[_Evidence | None]) -> list[int] | None:
    """Return the steps of the standard table that explains all frequencies best together; None without a sign of one.

    No frequency that shows a comb had a finer step, but one, which may show a multiple of its step.
    """
    frequencies = np.arange(len(visible))
    explained, left, is_finer = np.zeros((3, len(visible), MAX_STEP + 1))
    for row, (step, part) in enumerate(zip(visible, evidence, strict=True)):
        is_finer[row, :step] = 1
        explained[row, _last_step(step) + 1 :] = -np.inf
        if part is not None:
            explained[row, step + 1 : _last_step(step) + 1] = part.explained
            left[row, step + 1 :] = part.left
    is_possible = is_finer[frequencies, _TABLES].sum(1) < 2
    total = np.where(is_possible, explained[frequencies, _TABLES].sum(1), -np.inf)
    best = _TABLES[int(total.argmax())]
    limit = max(_MIN_JOINT_SHARE * float(left[frequencies, best].sum()), _MIN_EXPLAINED)
    return [int(step) for step in best] if total.max() > limit else None


@cache
def _ends(step: int) -> npt.NDArray[np.int64]:
    """Last bin of tooth 0, 1, ..., as many as there are, up to _MAX_TEETH."""
    ends = np.ceil((np.arange(_MAX_TEETH + 1) + 0.5) * _BINS * step - 0.5).astype(np.int64) - 1
    return np.asarray(ends[ends < 256 * _BINS], np.int64)


def _last_step(step: int) -> int:
    """The coarsest earlier step that is looked for; any where no comb is visible."""
    return min(3 * step, MAX_STEP) if step > 1 else MAX_STEP


def _steps(step: int) -> range:
    """The earlier steps that are looked for before `step`."""
    return range(step + 1, _last_step(step) + 1)


@cache
def _shares(step: int) -> Floats:
    """For each of `_steps` the logarithm of the share of the coefficients that it puts on each tooth of `step`.

    Relative to a photo without an earlier step: (steps, _MAX_TEETH).
    """
    edges = (np.arange(_MAX_TEETH + 1) + 0.5) * step
    shares = np.empty((len(_steps(step)), _MAX_TEETH))
    for row, earlier in enumerate(_steps(step)):
        multiples = np.arange(int(edges[-1] / earlier) + 2) * earlier
        below = _NORMAL((edges[:, None] - multiples) / _NOISE).astype(np.float64)
        shares[row] = np.diff(below, axis=0).sum(1) * earlier / step
    return np.log(np.maximum(shares, _MIN_TOOTH))


def _tables() -> npt.NDArray[np.int64]:
    """The low frequencies of libjpeg's tables up to MAX_STEP, each once: (T, F)."""
    scales = [5000 // quality if quality < 50 else 200 - 2 * quality for quality in range(1, 100)]
    tables = np.maximum((np.outer(scales, _STANDARD_STEPS) + 50) // 100, 1)
    return np.asarray(np.unique(tables[(tables <= MAX_STEP).all(1)], axis=0), np.int64)


def _thinned(blocks: Gray) -> Gray:
    """Blocks (rows, columns, 8, 8) -> about _MAX_BLOCKS of them, evenly spread."""
    stride = int(np.ceil(np.sqrt(blocks.shape[0] * blocks.shape[1] / _MAX_BLOCKS)))
    return blocks[::stride, ::stride].reshape(-1, _BLOCK, _BLOCK)


def _waves() -> npt.NDArray[np.float32]:
    """The low frequencies of the DCT-II of a block, (64, F)."""
    position = np.arange(_BLOCK)

    def wave(k: int) -> npt.NDArray[np.float64]:
        return np.asarray(np.sqrt((2 if k else 1) / _BLOCK) * np.cos(np.pi / 16 * k * (2 * position + 1)), np.float64)

    return np.stack([np.outer(wave(u), wave(v)).ravel() for u, v in _LOW_FREQUENCIES], 1).astype(np.float32)


def _combs() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each step q of 2 to MAX_STEP the cosine of period q at every bin, and which bins count: from q / 2 on."""
    level = (np.arange(256 * _BINS) + 0.5) / _BINS
    steps = np.arange(2, MAX_STEP + 1)[:, None]
    counted = (level >= steps / 2).astype(np.float32)
    return (np.cos(2 * np.pi * level / steps) * counted).astype(np.float32), counted


_PLACE = np.arange(1.0, _MAX_TEETH + 1)
_CURVE = np.stack([np.ones(_MAX_TEETH), _PLACE, np.sqrt(_PLACE), np.log(_PLACE)], 1)
_NORMAL = np.frompyfunc(lambda x: 0.5 * (1 + erf(x / sqrt(2))), 1, 1)
_TABLES = _tables()
_DCT = _waves()
_COSINES, _COUNTED = _combs()
