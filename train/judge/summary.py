"""The summary of an evaluation: means of the scores with bootstrap intervals, the contents of `summary.json`."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from train.judge.bootstrap import IntervalEstimate, bootstrap_interval, finite_or_none, reduction_of_means
from train.judge.columns import cross_column, person_codes
from train.judge.fid import Distribution
from train.judge.frontier import Advantage
from train.judge.score_table import METRICS, Metric


@dataclass(frozen=True)
class MetricSummary(IntervalEstimate):
    """The mean of a metric. pairs: the pairs that have a value."""

    pairs: int


@dataclass(frozen=True)
class CandidateRecord:
    """A candidate.

    Attributes:
        kind: "checkpoint", "onnx", or "blend" for a baseline without a network.
        path, sha256: of its file; empty for a blend.
        images: target images that it was trained on; None where unknown.
        size: side of its crops, px.
        embedder_id: of its latents; None for a blend.
        policy_hash: of the data that it was trained on; None where unknown.
        held_out: whether its training held the judged people or photos out; None where unknown.
    """

    kind: str
    path: str
    sha256: str
    images: int | None
    size: int
    embedder_id: str | None
    policy_hash: str | None
    held_out: bool | None


@dataclass(frozen=True)
class DatasetRecord:
    """What candidates are judged on. size: side of the measured crops, px. protocol: name and SHA-256 of its file."""

    path: str
    policy_hash: str | None
    template: str
    size: int
    protocol: str | None
    protocol_sha256: str | None


@dataclass(frozen=True)
class JudgedFacesRecord:
    """The faces that are swapped, and the gallery.

    Attributes:
        people, photos: swapped people and their photos in pairs.
        gallery_people, gallery_photos: in which swaps are retrieved.
        held_out: whether all candidates held them out, as far as is known.
        note: description, for people.
    """

    people: int
    photos: int
    gallery_people: int
    gallery_photos: int
    held_out: bool
    note: str


@dataclass(frozen=True)
class JudgeRecord:
    """An embedder that judges. centred: whether its mean embedding is subtracted. description: for people."""

    name: str
    embedder_id: str
    sha256: str
    independent: bool
    centred: bool
    description: str


@dataclass(frozen=True)
class JudgeSummary:
    """The contents of `summary.json`.

    Attributes:
        models: the candidates by name.
        data, judged: what they are judged on.
        judges: by name, the first of which is the one of tables and plots.
        pairs: number of pairs by kind.
        metrics: `METRICS` by judge, model and name; those that no judge affects are equal for all judges.
        distributions: FID and KID by model; see `train.judge.fid`.
        features: description of the features of `distributions`.
        halves: Frechet distance between two halves of the real photos, the bias of FID in so few images.
        frontier: where the blends are candidates, `train.judge.frontier.Advantage` by judge and model.
        distance_reduction: the founding report's A, in %, by model: how far the mean cosine distance of swap and source
            is below the baseline's; empty without a baseline.
    """

    models: dict[str, CandidateRecord]
    data: DatasetRecord
    judged: JudgedFacesRecord
    judges: dict[str, JudgeRecord]
    pairs: dict[str, int]
    metrics: dict[str, dict[str, dict[str, MetricSummary]]]
    distributions: dict[str, Distribution]
    features: str
    halves: float | None
    frontier: dict[str, dict[str, Advantage]]
    distance_reduction: dict[str, IntervalEstimate]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def first_judge(self) -> str:
        """Name of the judge of tables and plots."""
        return next(iter(self.judges))


def summarise(pairs: pa.Table) -> dict[str, MetricSummary]:
    """`METRICS` of one model by name. pairs: rows of `COLUMNS` of one judge."""
    return {metric.name: _summarise_metric(pairs, metric) for metric in METRICS}


def distance_reduction(pairs: pa.Table, baseline: pa.Table) -> IntervalEstimate:
    """The founding report's A, in %: 100 (1 - mean distance / mean distance of the baseline), on the same pairs."""
    columns = np.stack([cross_column(table, "distance") for table in (pairs, baseline)], 1)
    low, high = bootstrap_interval(columns, person_codes(pairs, "cross"), reduction_of_means)
    value = reduction_of_means(columns.mean(0, keepdims=True))[0]
    return IntervalEstimate(finite_or_none(value), finite_or_none(low), finite_or_none(high))


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
