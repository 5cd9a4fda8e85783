"""The summary of an evaluation as text on the terminal and as `summary.csv`."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from train.judge.bootstrap import IntervalEstimate
from train.judge.fid import Distribution
from train.judge.score_table import METRICS, Metric
from train.judge.summary import JudgeSummary, MetricSummary

_NAME = 58  # width of the first column, characters


@dataclass(frozen=True)
class Row:
    """A line of the table: title, unit, what is better, and a cell for each model."""

    title: str
    better: str
    cells: list[str]


def rows(summary: JudgeSummary) -> Iterator[Row]:
    """All lines: metrics by the first judge, then those of the others, distributions, and the frontier."""
    models = list(summary.models)
    for judge in summary.judges:
        for metric in METRICS:
            if judge != summary.first_judge and not metric.by_judge:
                continue
            title = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
            suffix = f" ({judge})" if len(summary.judges) > 1 and metric.by_judge else ""
            yield Row(title + suffix, metric.better, format_cells(summary.metrics[judge], metric))
    distances = [summary.distributions[name] for name in models]
    yield Row("FID of swaps and targets, on features of the segmenter", "lower", [_number(d.fid, 2) for d in distances])
    yield Row("KID, x 1000, on the same", "lower", [_number(d.kid, 2, scale=1000) for d in distances])
    if summary.distance_reduction:
        a = [_number(summary.distance_reduction.get(name), 2, "%") for name in models]
        yield Row("A, reduction of the cosine distance against the baseline", "higher", a)
    for judge, advantages in summary.frontier.items():
        suffix = f" ({judge})" if len(summary.judges) > 1 else ""
        for column, unit in (("landmark_error", "landmark"), ("pose_error", "pose")):
            cells = [_number(getattr(advantages.get(name), column, None), 1, scale=100) for name in models]
            yield Row(f"top-1 above blends of equal {unit} error, points{suffix}", "higher", cells)


def describe(summary: JudgeSummary) -> list[str]:
    """The table, one column per model, in blocks of four models; and what its numbers rest on."""
    lines: list[str] = []
    table, models = list(rows(summary)), list(summary.models)
    for start in range(0, len(models), 4):
        part = slice(start, start + 4)
        if start:
            lines.append("")
        lines.append(f"{'':<{_NAME}} " + "".join(f"{name:>26}" for name in models[part]))
        lines += [f"{row.title:<{_NAME}} " + "".join(f"{cell:>26}" for cell in row.cells[part]) for row in table]
    judged = summary.judged
    lines.append(
        f"gallery of the nearest photo: {judged.gallery_photos:,} photos of {judged.gallery_people:,} people; "
        f"FID and KID: {images(summary)}"
    )
    return lines


def images(summary: JudgeSummary) -> str:
    """The numbers of images of FID and KID, and the bias of FID in so few."""
    first = next(iter(summary.distributions.values()))
    halves = "" if summary.halves is None else f"; two halves of the photos are {summary.halves:.2f} apart (FID)"
    return f"{first.swaps:,} swaps against {first.photos:,} photos{halves}"


def to_csv(summary: JudgeSummary) -> str:
    """One line per model, judge and metric: value, interval, pairs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "judge", "metric", "unit", "value", "low", "high", "pairs"])

    def write(model: str, judge: str, name: str, unit: str, estimate: IntervalEstimate, pairs: int) -> None:
        values = ["" if value is None else repr(value) for value in (estimate.value, estimate.low, estimate.high)]
        writer.writerow([model, judge, name, unit, *values, pairs])

    for model in summary.models:
        for judge, metrics in summary.metrics.items():
            for metric in METRICS:
                if metric.by_judge or judge == summary.first_judge:
                    value = metrics[model][metric.name]
                    unit = "share" if metric.unit == "%" else metric.unit
                    write(model, judge if metric.by_judge else "", metric.name, unit, value, value.pairs)
        distances: Distribution = summary.distributions[model]
        write(model, "", "fid", "", distances.fid, distances.swaps)
        write(model, "", "kid", "", distances.kid, distances.swaps)
        if model in summary.distance_reduction:
            a = summary.distance_reduction[model]
            write(model, summary.first_judge, "distance_reduction", "%", a, summary.pairs["cross"])
        for judge, advantages in summary.frontier.items():
            if model in advantages:
                for name, estimate in vars(advantages[model]).items():
                    write(model, judge, f"top1_above_blends_at_{name}", "share", estimate, summary.pairs["cross"])
    return text.getvalue()


def format_cells(metrics: Mapping[str, Mapping[str, MetricSummary]], metric: Metric) -> list[str]:
    """A metric of each model with its interval; '-' where it is undefined."""
    if metric.unit == "%":
        return [_number(model[metric.name], 1, scale=100) for model in metrics.values()]
    digits = 2 if metric.unit in ("degrees", "dB") else 3
    return [_number(model[metric.name], digits) for model in metrics.values()]


def _number(estimate: IntervalEstimate | None, digits: int, suffix: str = "", scale: float = 1) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    value = f"{scale * estimate.value:.{digits}f}{suffix}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{scale * estimate.low:.{digits}f}, {scale * estimate.high:.{digits}f}]"
