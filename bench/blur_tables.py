"""Figures of blur in collections: labelled faces as they are, and planted blur, each at the collection's own limit.

Protocol, verdicts (`--verdicts`): all main faces of measured collections at their own limits, as the default policy
judges them for blur alone, and how those of them that have a label were labelled. The kept share that is blurred, and
the share of the sharp faces that is not kept, weigh each labelled face as `labelled_faces` says.

Protocol, labelled faces (`--natural`): faces of bench/blur_labels.csv of the people that are held out, scored from
their photos. The limit is that of the whole collection, labelled or not, of up to 400 photos; `review` of arguable
faces: neither verdict is wrong. The sample is not the collection: soft faces were drawn more often.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from bench.blur_collections import (
    Floats,
    labelled_portraits,
    sample_portraits,
    score,
)
from bench.blur_labels import read_labels
from curate.decide.rules import Policy
from curate.decide.sharpness_limit import collection_limits, detail_enlargement
from curate.decide.sharpness_rules import review_limit
from curate.measure.sharpness import BlurCalibration, sharpness_score
from curate.measure.sharpness_statistics import STATISTICS
from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset

POLICY = Policy()
Flags = npt.NDArray[np.bool_]

STRATUM = 12


def wilson(successes: int, count: int) -> str:
    """Format a share with its 95% interval after Wilson, 1927."""
    if not count:
        return "-"
    z, share = 1.96, successes / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return f"{successes}/{count} = {share:.2f} [{max(0, centre - half):.2f}, {min(1, centre + half):.2f}]"


def auc(blurred: Floats, sharp: Floats) -> float:
    """Probability that a blurred face scores lower than a sharp one; ties count half."""
    less = (blurred[:, None] < sharp).mean() + (blurred[:, None] == sharp).mean() / 2
    return float(less) if len(blurred) and len(sharp) else float("nan")


def labelled_faces(datasets: Path, collection: str, calibration: BlurCalibration) -> pd.DataFrame:
    """Return the main faces of a collection, by ascending score.

    Columns: image_id, width, height, enlargement, sharpness by the calibration, label ("" without one) and weight.
    Ranges of scores with STRATUM labelled faces each are made; the weight is the number of faces in the range over that
    of labelled ones, 0 without a label: soft faces were labelled more often than others. Without any label it is 1.
    """
    columns = ["image_id", "width", "height", "upscale", "resolution", *STATISTICS]
    dataset = Dataset.open(datasets / collection)
    rows = dataset.to_pandas(columns)
    statistics = {name: torch.from_numpy(rows[name].to_numpy(np.float32, copy=True)) for name in STATISTICS}
    rows["sharpness"] = sharpness_score(statistics, calibration).numpy()
    template = TEMPLATES[dataset.info.template]
    rows["enlargement"] = detail_enlargement(rows.upscale.to_numpy(), rows.resolution.to_numpy(), template)
    rows = rows[rows.sharpness.notna()].sort_values("sharpness", ignore_index=True)
    labels = {label.image_id: label.label for label in read_labels() if label.collection == collection}
    rows["label"] = rows.image_id.map(labels).replace("none", "").fillna("")
    labelled = (rows.label != "").to_numpy()
    rows["weight"] = 1.0
    if labelled.any():
        number = np.maximum(np.cumsum(labelled) - 1, 0)
        stratum = np.minimum(number // STRATUM, max(0, labelled.sum() // STRATUM - 1))
        rows["weight"] = np.where(labelled, (np.bincount(stratum) / np.bincount(stratum, labelled))[stratum], 0.0)
    return rows


def print_verdicts(datasets: Path, collections: Sequence[str], calibration: BlurCalibration) -> None:
    """Print what is dropped, reviewed and kept in whole collections."""
    print("\nLabels: blurred + arguable + sharp (without a label)\n")
    print("| collection | limits | dropped | to review | of them | kept blurred | share of kept | sharp not kept |")
    print("|---" * 8 + "|")
    for collection in collections:
        rows = labelled_faces(datasets, collection, calibration)
        size = rows.width.to_numpy(), rows.height.to_numpy()
        limits = collection_limits(rows.sharpness.to_numpy(), *size, rows.enlargement.to_numpy(), POLICY.min_sharpness)
        limit = limits.of(*size)
        review = review_limit(limit, POLICY)
        dropped, not_kept = (rows.sharpness < limit).to_numpy(), (rows.sharpness < review).to_numpy()

        def counts(chosen: Flags, rows: pd.DataFrame = rows) -> str:
            found = [int((chosen & (rows.label == label)).sum()) for label in ("blurred", "arguable", "sharp", "")]
            return f"{found[0]} + {found[1]} + {found[2]} ({found[3]})"

        def share(of: "pd.Series[bool]", chosen: Flags, rows: pd.DataFrame = rows) -> str:
            return f"{np.average(of[chosen], weights=rows.weight[chosen]):.1%}"

        sharp = (rows.label == ("sharp" if (rows.label != "").any() else "")).to_numpy()
        blurred = rows.label == "blurred"
        typical = review_limit(np.array([limits.typical]), POLICY)[0]
        print(
            f"| {collection} ({len(rows):,}) | {limits.typical:.2f}, {typical:.2f} | {counts(dropped)} "
            f"| {(not_kept & ~dropped).mean():.1%} | {counts(not_kept & ~dropped)} "
            f"| {(blurred & ~not_kept).sum()} of {((rows.label != '') & ~not_kept).sum()} labelled "
            f"| {share(blurred, ~not_kept)} | {share(pd.Series(not_kept), sharp)} |",
            flush=True,
        )


def print_natural(datasets: Path, collections: Sequence[str], count: int, calibration: BlurCalibration) -> None:
    """Print AUC, precision and recall on labelled faces of held-out people."""
    print(
        "\n| collection | limit | sharp, arguable, blurred | AUC | dropped that are blurred | blurred or arguable "
        "| to review: blurred + arguable + sharp | recall, dropped | recall, not kept |"
    )
    print("|---" * 9 + "|")
    pooled: list[tuple[Floats, npt.NDArray[np.str_], Flags, Flags]] = []
    for collection in collections:
        pairs = list(labelled_portraits(datasets, collection, held=True))
        if not pairs:
            continue
        scores = score([portrait.aligned() for portrait, _ in pairs], calibration)
        labels = np.array([label.label for _, label in pairs])
        sizes = np.array([portrait.photo.shape[1::-1] for portrait, _ in pairs])
        everyone = [
            portrait for held in (True, False) for portrait in sample_portraits(datasets, collection, count // 2, held)
        ]
        all_scores = score([portrait.aligned() for portrait in everyone], calibration)
        all_sizes = np.array([portrait.photo.shape[1::-1] for portrait in everyone])
        detail = np.array([portrait.enlargement() for portrait in everyone])
        limits = collection_limits(all_scores, all_sizes[:, 0], all_sizes[:, 1], detail, POLICY.min_sharpness)
        limit = limits.of(sizes[:, 0], sizes[:, 1])
        dropped, not_kept = scores < limit, scores < review_limit(limit, POLICY)
        pooled.append((scores, labels, dropped, not_kept))
        _print_natural_row(collection, f"{limits.typical:.2f}", *pooled[-1])
    _print_natural_row("together", "", *(np.concatenate(part) for part in zip(*pooled, strict=True)))


def _print_natural_row(
    name: str, limit: str, scores: Floats, labels: npt.NDArray[np.str_], dropped: Flags, not_kept: Flags
) -> None:
    counts = [int((labels == label).sum()) for label in ("sharp", "arguable", "blurred")]
    area = auc(scores[labels == "blurred"], scores[labels == "sharp"])
    blurred = int((dropped & (labels == "blurred")).sum())
    arguable = blurred + int((dropped & (labels == "arguable")).sum())
    cells = [wilson(count, int(dropped.sum())) for count in (blurred, arguable)]
    review = not_kept & ~dropped
    cells += [" + ".join(str(int((review & (labels == label)).sum())) for label in ("blurred", "arguable", "sharp"))]
    cells += [wilson(blurred, counts[2]), wilson(int((not_kept & (labels == "blurred")).sum()), counts[2])]
    print(f"| {name} | {limit} | {', '.join(map(str, counts))} | {area:.3f} | {' | '.join(cells)} |", flush=True)
