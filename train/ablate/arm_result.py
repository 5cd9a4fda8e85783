"""The results of arms, and the files that a finished arm leaves: OUT/results/ARM.json and OUT/pairs/ARM.parquet."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.errors import OutputError
from manifests.output import atomic
from manifests.reader import read_table
from manifests.records import read_record
from manifests.writer import write_table
from train.ablate.arms import Arm
from train.judge.score_table import COLUMNS
from train.judge.summary import MetricSummary

REVISION = 3
"""To be raised when the numbers or the columns of an arm change: results of earlier revisions are not reused."""


@dataclass(frozen=True)
class ArmKey:
    """Everything that an arm's numbers depend on: hashes of recipe and faces, ids of embedders, number of pairs."""

    revision: int
    recipe: str
    data: str
    embedder: str
    judge: str
    judged: str
    pairs: int


@dataclass(frozen=True)
class ArmResult:
    """The numbers of one training.

    Attributes:
        name, seed: which arm.
        key: what the numbers depend on.
        images: target images that it was trained on.
        photos, people: of the training data.
        parameters, macs: of the generator; multiply-adds per image.
        first_ms, steady_ms: time of a forward pass; see `train.ablate.timing.Timing`.
        seconds: of the training steps.
        images_per_second: of the training steps.
        memory_bytes: maximum on the GPU; 0 on the CPU.
        checkpoint: the last one, relative to the ablation's folder.
        metrics: `METRICS` by name.
    """

    name: str
    seed: int
    key: ArmKey
    images: int
    photos: int
    people: int
    parameters: int
    macs: int
    first_ms: float
    steady_ms: float
    seconds: float
    images_per_second: float
    memory_bytes: int
    checkpoint: str
    metrics: dict[str, MetricSummary]


@dataclass(frozen=True)
class FinishedArm:
    """An arm that was trained and scored. pairs: rows of `train.judge.score_table.COLUMNS`."""

    result: ArmResult
    pairs: pa.Table


@dataclass(frozen=True)
class AblationResult:
    """All finished arms, in the order of the request.

    Attributes:
        arms: the finished arms.
        failed: slug of an arm that failed -> reason.
        judge, judged: description of the judge and of the judged faces.
    """

    arms: list[FinishedArm]
    failed: dict[str, str] = field(default_factory=dict)
    judge: str = ""
    judged: str = ""


def read_finished(out: Path, arm: Arm, key: ArmKey) -> FinishedArm | None:
    """Read an arm that an earlier run finished; None if there is none, or if its key differs."""
    path = _result_path(out, arm)
    if not path.exists():
        return None
    advice = "remove it, and the arm is trained again"
    # Results of another revision may have other keys.
    if read_record(path, dict[str, Any], OutputError, advice).get("key") != asdict(key):
        return None
    return FinishedArm(read_record(path, ArmResult, OutputError, advice), read_table(_pairs_path(out, arm)))


def write_finished(out: Path, arm: Arm, finished: FinishedArm) -> None:
    """Write an arm's files. The result is written last: the arm is finished when it exists."""
    write_table(_pairs_path(out, arm), finished.pairs, COLUMNS)
    with atomic(_result_path(out, arm)) as partial:
        text = json.dumps(asdict(finished.result), indent=2, sort_keys=True)
        partial.write_text(text + "\n", encoding="utf-8")


def _result_path(out: Path, arm: Arm) -> Path:
    return out / "results" / f"{arm.slug}.json"


def _pairs_path(out: Path, arm: Arm) -> Path:
    return out / "pairs" / f"{arm.slug}.parquet"
