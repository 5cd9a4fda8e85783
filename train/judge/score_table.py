"""The tables of metrics: `PAIR_SCORES`, the numbers of each pair, and `METRICS`, their means in summaries and pages."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
from torch import Tensor

from train.data.pairs import Kind
from train.judge import metrics


@dataclass(frozen=True)
class SwapBatch:
    """B swaps with everything that scores depend on, as one judge measures it.

    Attributes:
        swap, target: float32 (B, 3, S, S), RGB in [0, 1].
        swap_embedding, target_embedding, source_embedding: (B, D) of unit norm, the judge's.
        swap_landmarks, target_landmarks: (B, 5, 2) px of the crop, detected; NaN where no face is detected.
        swap_parts, target_parts: (B, P, h, w), see `train.judge.measurement.Measured`.
        eye_distance: of a frontal face on the crop, px.
        rank: int64 (B,), rank of the source's person among the people of the gallery.
    """

    swap: Tensor
    target: Tensor
    swap_embedding: Tensor
    target_embedding: Tensor
    source_embedding: Tensor
    swap_landmarks: Tensor
    target_landmarks: Tensor
    swap_parts: Tensor
    target_parts: Tensor
    eye_distance: float
    rank: Tensor


@dataclass(frozen=True)
class PairScore:
    """A number of each pair.

    Attributes:
        column: name of the column in `pairs.parquet`.
        compute: a batch -> (B,); NaN becomes null.
        metadata: `meaning`, `unit` and `null`, where they apply.
        by_judge: whether it depends on the judge.
        kinds: pairs that it is computed for; null for others.
        type: of the column.
    """

    column: str
    compute: Callable[[SwapBatch], Tensor]
    metadata: dict[str, str]
    by_judge: bool = False
    kinds: tuple[Kind, ...] = ("cross", "same")
    type: pa.DataType = field(default_factory=pa.float32)


_NO_FACE = "no face detected in either image"
_NO_REFERENCE = "two people: the true swap is unknown"

PAIR_SCORES = (
    PairScore(
        "distance",
        lambda batch: metrics.cosine_distance(batch.swap_embedding, batch.source_embedding),
        {"meaning": "1 - cos(swap, source)"},
        by_judge=True,
    ),
    PairScore(
        "distance_before",
        lambda batch: metrics.cosine_distance(batch.target_embedding, batch.source_embedding),
        {"meaning": "1 - cos(target, source)"},
        by_judge=True,
    ),
    PairScore(
        "distance_target",
        lambda batch: metrics.cosine_distance(batch.swap_embedding, batch.target_embedding),
        {"meaning": "1 - cos(swap, target)"},
        by_judge=True,
    ),
    PairScore(
        "gain",
        lambda batch: metrics.identity_gain(batch.swap_embedding, batch.source_embedding, batch.target_embedding),
        {"meaning": "cos(swap, source) - cos(target, source)"},
        by_judge=True,
    ),
    PairScore(
        "rank",
        lambda batch: batch.rank,
        {"meaning": "rank of the source's person among the gallery's people, by their nearest photo, from 1"},
        by_judge=True,
        type=pa.int32(),
    ),
    PairScore(
        "retrieved",
        lambda batch: batch.rank <= 1,
        {"meaning": "the nearest photo shows the source's person"},
        by_judge=True,
        type=pa.bool_(),
    ),
    PairScore(
        "retrieved_5",
        lambda batch: batch.rank <= 5,
        {"meaning": "the source's person is among the five nearest people"},
        by_judge=True,
        type=pa.bool_(),
    ),
    PairScore(
        "detected",
        lambda batch: batch.swap_landmarks.isfinite().all(2).all(1),
        {"meaning": "a face is detected in the swap"},
        type=pa.bool_(),
    ),
    PairScore(
        "pose_error",
        lambda batch: metrics.pose_error(batch.swap_landmarks, batch.target_landmarks),
        {"meaning": "angle between the head poses of swap and target", "unit": "degrees", "null": _NO_FACE},
    ),
    PairScore(
        "landmark_error",
        lambda batch: metrics.landmark_error(batch.swap_landmarks, batch.target_landmarks, batch.eye_distance),
        {"meaning": "mean distance of five landmarks", "unit": "eye distances", "null": _NO_FACE},
    ),
    PairScore(
        "expression",
        lambda batch: metrics.overlap(batch.swap_parts, batch.target_parts),
        {
            "meaning": "overlap (soft IoU) of eyes, brows, lips and open mouth of swap and target by the segmenter",
            "null": "none of them is visible in the target",
        },
    ),
    PairScore(
        "psnr",
        lambda batch: metrics.psnr(batch.swap, batch.target),
        {"meaning": "PSNR of swap and target", "unit": "dB", "null": _NO_REFERENCE},
        kinds=("same",),
    ),
    PairScore(
        "ssim",
        lambda batch: metrics.ssim(batch.swap, batch.target),
        {"meaning": "SSIM of swap and target", "null": _NO_REFERENCE},
        kinds=("same",),
    ),
)
"""The numbers of each pair, in the order of the columns."""

COLUMNS = pa.schema(
    [
        pa.field("kind", pa.string(), metadata={"meaning": "'cross': two people; 'same': two photos of one person"}),
        pa.field("target", pa.string(), metadata={"meaning": "face_id of the photo that is changed"}),
        pa.field("source", pa.string(), metadata={"meaning": "face_id of the first photo whose identity is used"}),
        pa.field("target_person", pa.string()),
        pa.field("source_person", pa.string()),
        pa.field("judge", pa.string(), metadata={"meaning": "embedder of the columns that depend on one"}),
        *(pa.field(score.column, score.type, metadata=score.metadata) for score in PAIR_SCORES),
    ]
)
"""One row per pair and judge; `pairs.parquet` adds the column `model`."""


@dataclass(frozen=True)
class Metric:
    """A mean over the pairs of one kind.

    Attributes:
        name: key in `summary.json`.
        column: column of `pairs.parquet`.
        kind: the pairs that it is the mean of.
        title: what it measures.
        unit: of the value; empty where it has none. A share is shown in %.
        better: "lower" or "higher"; empty for a number given for comparison.
    """

    name: str
    column: str
    kind: Kind
    title: str
    unit: str
    better: str

    @property
    def by_judge(self) -> bool:
        """Whether it depends on the judge."""
        return any(score.by_judge for score in PAIR_SCORES if score.column == self.column)


METRICS = (
    Metric("distance", "distance", "cross", "cosine distance of swap and source", "", "lower"),
    Metric("gain", "gain", "cross", "cos(swap, source) - cos(target, source)", "", "higher"),
    Metric("top1", "retrieved", "cross", "nearest photo shows the source's person", "%", "higher"),
    Metric("top5", "retrieved_5", "cross", "the source's person is among the five nearest", "%", "higher"),
    Metric("detected", "detected", "cross", "a face is detected in the swap", "%", "higher"),
    Metric("pose_error", "pose_error", "cross", "pose, swap against target", "degrees", "lower"),
    Metric("landmark_error", "landmark_error", "cross", "landmarks, swap against target", "eye distances", "lower"),
    Metric("expression", "expression", "cross", "expression: overlap of eyes, brows and mouth", "", "higher"),
    Metric("psnr", "psnr", "same", "PSNR, source is another photo of the target", "dB", "higher"),
    Metric("ssim", "ssim", "same", "SSIM, source is another photo of the target", "", "higher"),
    Metric("distance_before", "distance_before", "cross", "for comparison: distance of target and source", "", ""),
    Metric("distance_same", "distance_before", "same", "for comparison: distance of two photos of a person", "", ""),
)
"""The means of `summary.json`, the page and the ablation's tables."""
