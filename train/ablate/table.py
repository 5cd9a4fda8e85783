"""The tables of an ablation: A and T with intervals and the spread of seeds.

Both are defined by the founding report of this project, an analysis and improvement of SimSwap:

A = 100 (1 - d / d_1) % and T = 100 (1 - t / t_1) %, where d is the mean cosine distance of swap and source, t the time
of the first forward pass, and d_1 and t_1 those of the first arm. Distances are averaged over an arm's seeds, pair by
pair. The lowest and highest A of a single seed show the spread; those of the first arm, against its own mean, are the
noise floor.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.output import atomic, remove_results
from manifests.writer import write_table
from train.ablate.arm_result import AblationResult, ArmResult, FinishedArm
from train.ablate.arm_row import ArmRow
from train.ablate.plot import plot_svg
from train.judge.bootstrap import bootstrap_interval, finite_or_none, percent_reduction, reduction_of_means
from train.judge.columns import cross_column, person_codes

MARKDOWN, TABLE, ARMS, PLOT = "table.md", "table.parquet", "arms.parquet", "plot.svg"

Floats = npt.NDArray[np.float64]


def make_rows(result: AblationResult) -> list[ArmRow]:
    """One row per arm, over its seeds, in the order of the request."""
    seeds_of: dict[str, list[FinishedArm]] = {}
    for arm in result.arms:
        seeds_of.setdefault(arm.result.name, []).append(arm)
    return [_make_row(name, seeds, next(iter(seeds_of.values()))) for name, seeds in seeds_of.items()]


def write_tables(out: Path, result: AblationResult) -> list[str]:
    """Write table.md, table.parquet (one row per arm), arms.parquet (one per training) and plot.svg.

    Returns the lines of table.md.
    """
    rows = make_rows(result)
    lines = markdown(rows, result)
    remove_results(out / PLOT, out / ARMS, out / TABLE)  # of an earlier run
    with atomic(out / MARKDOWN) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, records in ((TABLE, [vars(row) for row in rows]), (ARMS, [_flatten(arm.result) for arm in result.arms])):
        table = pa.Table.from_pylist(records)
        write_table(out / name, table, table.schema)
    with atomic(out / PLOT) as partial:
        partial.write_text(plot_svg(rows), encoding="utf-8")
    return lines


def markdown(rows: Sequence[ArmRow], result: AblationResult) -> list[str]:
    """Both tables in Markdown, with a legend and the failed arms."""
    lines = [
        "| arm | A, % | A of seeds, % | gain | top-1, % | pose, ° | PSNR, dB | photos trained on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        a = f"{row.a:.2f}{_format_interval(row.a_low, row.a_high, 2)}"
        gain = f"{_format(row.gain, 3)}{_format_interval(row.gain_low, row.gain_high, 3)}"
        top1 = _format(None if row.top1 is None else 100 * row.top1, 1)
        seeds = f"{row.a_seed_min:.2f} to {row.a_seed_max:.2f} ({row.seeds})"
        lines.append(
            f"| {row.arm} | {a} | {seeds} | {gain} | {top1} | {_format(row.pose_error, 1)} | {_format(row.psnr, 1)} "
            f"| {row.photos:,} |"
        )
    lines += [
        "",
        "| arm | T, % | T steady, % | first, ms | steady, ms | G MACs | parameters | minutes | images/s | GiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        memory = f"{row.memory_bytes / 2**30:.1f}" if row.memory_bytes else "-"
        lines.append(
            f"| {row.arm} | {row.t:.2f} | {row.t_steady:.2f} | {row.first_ms:.1f} | {row.steady_ms:.1f} "
            f"| {row.macs / 1e9:.2f} | {row.parameters:,} | {row.seconds / 60:.1f} | {row.images_per_second:.1f} "
            f"| {memory} |"
        )
    lines += [
        "",
        f"Judged on {result.judged}. Judge: {result.judge}. In brackets: 95% bootstrap intervals by person. A of "
        "seeds: lowest and highest A of a single seed, against the first arm's mean; those of the first arm are the "
        "noise floor. Positive A and T are better.",
    ]
    lines += [f"**{slug}** failed: {reason}" for slug, reason in result.failed.items()]
    return lines


def _make_row(name: str, seeds: Sequence[FinishedArm], first: Sequence[FinishedArm]) -> ArmRow:
    """The row of an arm. seeds: its trainings; first: those of the first arm."""
    results = [arm.result for arm in seeds]
    own, baseline = results[0], first[0].result
    people = person_codes(first[0].pairs, "cross")
    distances = _by_seed(seeds, "distance")  # (seeds, pairs)
    baseline_distances = _by_seed(first, "distance").mean(0)
    columns = np.stack([distances.mean(0), baseline_distances], 1)
    a_low, a_high = bootstrap_interval(columns, people, reduction_of_means)
    a_of_seeds = percent_reduction(distances.mean(1), baseline_distances.mean())
    gain_low, gain_high = bootstrap_interval(_by_seed(seeds, "gain").mean(0), people)
    return ArmRow(
        arm=name,
        seeds=len(results),
        photos=own.photos,
        people=own.people,
        a=float(reduction_of_means(columns.mean(0, keepdims=True))[0]),
        a_low=finite_or_none(a_low),
        a_high=finite_or_none(a_high),
        a_seed_min=float(a_of_seeds.min()),
        a_seed_max=float(a_of_seeds.max()),
        distance=float(distances.mean()),
        gain=_mean(results, "gain"),
        gain_low=finite_or_none(gain_low),
        gain_high=finite_or_none(gain_high),
        top1=_mean(results, "top1"),
        pose_error=_mean(results, "pose_error"),
        psnr=_mean(results, "psnr"),
        ssim=_mean(results, "ssim"),
        t=100 * (1 - own.first_ms / baseline.first_ms),
        t_steady=100 * (1 - own.steady_ms / baseline.steady_ms),
        first_ms=own.first_ms,
        steady_ms=own.steady_ms,
        macs=own.macs,
        parameters=own.parameters,
        seconds=float(np.mean([result.seconds for result in results])),
        images_per_second=float(np.mean([result.images_per_second for result in results])),
        memory_bytes=max(result.memory_bytes for result in results),
    )


def _by_seed(seeds: Sequence[FinishedArm], column: str) -> Floats:
    """A score of the pairs of two people: (seeds, pairs)."""
    return np.stack([cross_column(arm.pairs, column) for arm in seeds])


def _mean(results: Sequence[ArmResult], metric: str) -> float | None:
    values = [value for result in results if (value := result.metrics[metric].value) is not None]
    return float(np.mean(values)) if values else None


def _flatten(result: ArmResult) -> dict[str, Any]:
    """A training as one row: the means of its metrics become columns."""
    plain = {name: value for name, value in vars(result).items() if name not in ("key", "metrics")}
    return plain | {name: summary.value for name, summary in result.metrics.items()}


def _format(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _format_interval(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
