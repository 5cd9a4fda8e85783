"""Finished arms -> the tables: A and T as the founding report defines them, beside what tells luck from progress.

A: how far an arm's mean cosine distance between swap and source lies below the first arm's, in %; T: the same of the
first forward pass's time. Distances are averaged over an arm's seeds, pair by pair; `A of seeds` are the lowest and the
highest A of one seed alone, and those of the first arm, against its own mean, are the noise floor.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.output import atomic
from train.ablate.ablate import Finished, Result
from train.judge import metrics
from train.judge.evaluate import cross_distances, people_of, write_parquet

MARKDOWN, TABLE, ARMS, PLOT = "table.md", "table.parquet", "arms.parquet", "plot.svg"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One arm, over its seeds. a_*, t_*: %, against the first arm; None where the seeds' pairs give no interval."""

    arm: str
    seeds: int
    photos: int
    people: int
    a: float
    a_low: float | None
    a_high: float | None
    a_least: float
    a_most: float
    distance: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    top1: float | None
    pose_error: float | None
    psnr: float | None
    ssim: float | None
    t: float
    t_steady: float
    first_ms: float
    steady_ms: float
    macs: int
    parameters: int
    seconds: float
    images_per_second: float
    memory_bytes: int


def rows_of(finished: Finished) -> list[Row]:
    """A row for each arm, in the order they were asked for."""
    names = list(dict.fromkeys(result.name for result in finished.results))
    distances = {name: _of(finished, name) for name in names}
    people = people_of(finished.pairs[0], "cross") if finished.pairs else []
    found = []
    for name in names:
        results = [result for result in finished.results if result.name == name]
        mine, base = distances[name], distances[names[0]].mean(0)
        columns = np.stack([mine.mean(0), base], 1)
        low, high = metrics.interval(columns, people, _fall)
        each = metrics.relative_fall(mine.mean(1), base.mean())
        gains = metrics.interval(_gains(finished, name), people)
        first = next(result for result in finished.results if result.name == names[0])
        found.append(
            Row(
                arm=name,
                seeds=len(results),
                photos=results[0].photos,
                people=results[0].people,
                a=float(_fall(columns.mean(0, keepdims=True))[0]),
                a_low=_known(low),
                a_high=_known(high),
                a_least=float(each.min()),
                a_most=float(each.max()),
                distance=float(mine.mean()),
                gain=_mean(results, "gain"),
                gain_low=_known(gains[0]),
                gain_high=_known(gains[1]),
                top1=_mean(results, "top1"),
                pose_error=_mean(results, "pose_error"),
                psnr=_mean(results, "psnr"),
                ssim=_mean(results, "ssim"),
                t=100 * (1 - results[0].first_ms / first.first_ms),
                t_steady=100 * (1 - results[0].steady_ms / first.steady_ms),
                first_ms=results[0].first_ms,
                steady_ms=results[0].steady_ms,
                macs=results[0].macs,
                parameters=results[0].parameters,
                seconds=float(np.mean([result.seconds for result in results])),
                images_per_second=float(np.mean([result.images_per_second for result in results])),
                memory_bytes=max(result.memory_bytes for result in results),
            )
        )
    return found


def write_tables(out: Path, finished: Finished) -> list[str]:
    """Write table.md, table.parquet (a row an arm), arms.parquet (a row a training) and plot.svg; returns the Markdown
    as lines."""
    rows = rows_of(finished)
    lines = markdown(rows, finished)
    with atomic(out / MARKDOWN) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_parquet(out / TABLE, pa.Table.from_pylist([vars(row) for row in rows]))
    write_parquet(out / ARMS, pa.Table.from_pylist([_flat(result) for result in finished.results]))
    with atomic(out / PLOT) as partial:
        partial.write_text(plot_svg(rows), encoding="utf-8")
    return lines


def markdown(rows: list[Row], finished: Finished) -> list[str]:
    """The tables and what has to be known to read them."""
    lines = [
        "| arm | A, % | A of seeds, % | gain | top-1, % | pose, ° | PSNR, dB | photos trained on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        a = f"{row.a:.2f}{_between(row.a_low, row.a_high, 2)}"
        gain = f"{_written(row.gain, 3)}{_between(row.gain_low, row.gain_high, 3)}"
        top1 = _written(None if row.top1 is None else 100 * row.top1, 1)
        seeds = f"{row.a_least:.2f} to {row.a_most:.2f} ({row.seeds})"
        lines.append(
            f"| {row.arm} | {a} | {seeds} | {gain} | {top1} | {_written(row.pose_error, 1)} | {_written(row.psnr, 1)} "
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
        f"Judged on {finished.judged}. Judge: {finished.judge}. In brackets 95% intervals over people; A of seeds: of "
        "each seed alone, against the first arm's mean, so that the first arm's own are the noise floor. Positive is "
        "better in A and T.",
    ]
    lines += [f"**{slug}** failed: {why}" for slug, why in finished.failed.items()]
    return lines


_WIDTH, _LEFT, _LINE, _HEAD = 720, 220, 34, 46


def plot_svg(rows: list[Row]) -> str:
    """A of each arm as a dot with its interval, the seeds as ticks, the first arm's seeds as a grey band; an SVG."""
    ends = [0.0, *(x for row in rows for x in (row.a, row.a_low, row.a_high, row.a_least, row.a_most) if x is not None)]
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low) or 1.0
    low, high = low - margin, high + margin
    floor = _HEAD + _LINE * len(rows)

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 20) * (value - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {floor + 40}" role="img" '
        'aria-label="A of each arm with its interval" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{floor + 40}" fill="#fff"/>',
        '<text x="12" y="22" fill="#1c1f24" font-weight="600">A: fall of the cosine distance against the first arm, %'
        "</text>",
    ]
    if rows:
        band = (x(rows[0].a_least), x(rows[0].a_most))
        parts.append(
            f'<rect x="{band[0]:.1f}" y="{_HEAD - 8}" width="{max(1.0, band[1] - band[0]):.1f}" '
            f'height="{floor - _HEAD + 8}" fill="#e3e7ec"/>'
        )
    parts.append(f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{_HEAD - 8}" y2="{floor}" stroke="#5b6470"/>')
    for index, row in enumerate(rows):
        y = _HEAD + _LINE * (index + 0.5) - 8
        parts.append(f'<text x="12" y="{y + 4:.1f}" fill="#1c1f24">{escape(row.arm)}</text>')
        if row.a_low is not None and row.a_high is not None:
            parts.append(
                f'<line x1="{x(row.a_low):.1f}" x2="{x(row.a_high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
                'stroke="#3d6ea5" stroke-width="2"/>'
            )
        for seed in (row.a_least, row.a_most):
            parts.append(
                f'<line x1="{x(seed):.1f}" x2="{x(seed):.1f}" y1="{y - 6:.1f}" y2="{y + 6:.1f}" stroke="#9a2f1c"/>'
            )
        parts.append(f'<circle cx="{x(row.a):.1f}" cy="{y:.1f}" r="4.5" fill="#3d6ea5"/>')
    for value in (low + margin, 0.0, high - margin):
        anchor = "middle"
        parts.append(
            f'<text x="{x(value):.1f}" y="{floor + 16}" fill="#5b6470" text-anchor="{anchor}">{value:.1f}</text>'
        )
    parts.append(
        f'<text x="12" y="{floor + 34}" fill="#5b6470" font-size="11">Dot and bar: mean, 95% interval over people. '
        "Red: lowest and highest seed. Grey: the first arm's seeds, the noise floor.</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _of(finished: Finished, name: str) -> Floats:
    """(seeds, pairs) distances of an arm."""
    return np.stack(
        [
            cross_distances(pairs)
            for one, pairs in zip(finished.results, finished.pairs, strict=True)
            if one.name == name
        ]
    )


def _gains(finished: Finished, name: str) -> Floats:
    """(pairs,) gain of an arm, mean over its seeds."""
    kept = [
        pairs.filter(pc.equal(pairs["kind"], "cross"))["gain"].to_numpy()
        for one, pairs in zip(finished.results, finished.pairs, strict=True)
        if one.name == name
    ]
    return np.asarray(np.mean(kept, axis=0), np.float64)


def _fall(means: Floats) -> Floats:
    return metrics.relative_fall(means[:, 0], means[:, 1])


def _mean(results: list[Result], metric: str) -> float | None:
    values = [value for one in results if (value := one.metrics[metric]["value"]) is not None]
    return float(np.mean(values)) if values else None


def _flat(result: Result) -> dict[str, Any]:
    """A training as one row: its metrics' means become columns."""
    plain = {name: value for name, value in vars(result).items() if name not in ("key", "metrics")}
    return plain | {name: told["value"] for name, told in result.metrics.items()}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _written(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _between(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
