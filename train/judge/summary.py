"""The summary of an evaluation: means of the scores with bootstrap intervals, as `summary.json` and as text."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from train.data.pairs import Kind
from train.judge.bootstrap import bootstrap_interval, reduction_of_means
from train.judge.score_table import METRICS, Metric

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class IntervalEstimate:
    """A value with its 95% bootstrap interval by person; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class MetricSummary(IntervalEstimate):
    """The mean of a metric. pairs: the pairs that have a value."""

    pairs: int


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint. images: target images that it was trained on. size: side of its crops, px."""

    path: str
    images: int
    size: int
    embedder_id: str
    policy_hash: str | None


@dataclass(frozen=True)
class DatasetRecord:
    """The dataset that checkpoints are judged on."""

    path: str
    policy_hash: str | None
    template: str


@dataclass(frozen=True)
class JudgedFacesRecord:
    """The faces that checkpoints are judged on; see `train.judge.pairs.JudgedFaces`."""

    people: int
    photos: int
    held_out: bool
    note: str


@dataclass(frozen=True)
class JudgeRecord:
    """The embedder that judges. centred: whether its mean embedding is subtracted. description: for people."""

    name: str
    embedder_id: str
    independent: bool
    centred: bool
    description: str


@dataclass(frozen=True)
class JudgeSummary:
    """The contents of `summary.json`.

    Attributes:
        models: the checkpoint, and the baseline where there is one, by name.
        data, judged, judge: what they are judged on and by.
        pairs: number of pairs by kind.
        metrics: `METRICS` by model and name.
        distance_reduction: the founding report's A, in %: how far the mean cosine distance of swap and source is below
            the baseline's; None without a baseline.
    """

    models: dict[str, CheckpointRecord]
    data: DatasetRecord
    judged: JudgedFacesRecord
    judge: JudgeRecord
    pairs: dict[str, int]
    metrics: dict[str, dict[str, MetricSummary]]
    distance_reduction: IntervalEstimate | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def summarise(pairs: pa.Table) -> dict[str, MetricSummary]:
    """`METRICS` of one model by name. pairs: rows of `COLUMNS`."""
    return {metric.name: _summarise_metric(pairs, metric) for metric in METRICS}


def distance_reduction(pairs: pa.Table, baseline: pa.Table) -> IntervalEstimate:
    """The founding report's A, in %: 100 (1 - mean distance / mean distance of the baseline), on the same pairs."""
    columns = np.stack([cross_column(table, "distance") for table in (pairs, baseline)], 1)
    low, high = bootstrap_interval(columns, person_codes(pairs, "cross"), reduction_of_means)
    value = reduction_of_means(columns.mean(0, keepdims=True))[0]
    return IntervalEstimate(finite_or_none(value), finite_or_none(low), finite_or_none(high))


def cross_column(pairs: pa.Table, name: str) -> Floats:
    """A column of the pairs of two people, in their order."""
    return np.asarray(pairs.filter(pc.equal(pairs["kind"], "cross"))[name].to_numpy(), np.float64)


def person_codes(pairs: pa.Table, kind: Kind) -> list[Indices]:
    """Person of each pair of that kind in each role, as integers: targets and, where they differ, sources."""
    selected = pairs.filter(pc.equal(pairs["kind"], kind))
    roles = ["target_person", "source_person"] if kind == "cross" else ["target_person"]
    names = np.stack([np.array(selected[role].to_pylist(), str) for role in roles])
    return list(np.unique(names, return_inverse=True)[1].reshape(names.shape))


def finite_or_none(value: float) -> float | None:
    """NaN, which JSON does not have, becomes None."""
    return float(value) if np.isfinite(value) else None


def describe(summary: JudgeSummary) -> list[str]:
    """The metrics as a table, one column per model."""
    models = list(summary.metrics)
    gallery = f"gallery of the nearest photo: {summary.judged.photos:,} photos of {summary.judged.people:,} people"
    lines = [f"{'':<56} " + "".join(f"{name:>30}" for name in models)]
    for metric in METRICS:
        title = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
        lines.append(f"{title:<56} " + "".join(f"{cell:>30}" for cell in format_cells(summary.metrics, metric)))
    lines.append(gallery)
    if summary.distance_reduction is not None:
        reduction = _format_estimate(summary.distance_reduction, 2, "%")
        lines.append(f"A, reduction of the cosine distance against the baseline: {reduction}")
    return lines


def format_cells(metrics: Mapping[str, Mapping[str, MetricSummary]], metric: Metric) -> list[str]:
    """A metric of each model with its interval; '-' where it is undefined."""
    if metric.unit == "%":
        return [_format_estimate(model[metric.name], 1, scale=100) for model in metrics.values()]
    digits = 2 if metric.unit in ("degrees", "dB") else 3
    return [_format_estimate(model[metric.name], digits) for model in metrics.values()]


def _format_estimate(estimate: IntervalEstimate, digits: int, suffix: str = "", scale: float = 1) -> str:
    if estimate.value is None:
        return "-"
    value = f"{scale * estimate.value:.{digits}f}{suffix}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{scale * estimate.low:.{digits}f}, {scale * estimate.high:.{digits}f}]"


def _summarise_metric(pairs: pa.Table, metric: Metric) -> MetricSummary:
    selected = pairs.filter(pc.equal(pairs["kind"], metric.kind))
    values = selected[metric.column].cast(pa.float64()).to_numpy()
    finite = np.isfinite(values)
    if not finite.any():
        return MetricSummary(None, None, None, 0)
    low, high = bootstrap_interval(values, person_codes(pairs, metric.kind))
    return MetricSummary(
        float(values[finite].mean()), finite_or_none(low), finite_or_none(high), pairs=int(finite.sum())
    )
