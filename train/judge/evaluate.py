"""`simswap evaluate`: a checkpoint and a dataset -> how good its swaps of people are whom it was not trained on.

Leaves OUT/pairs.parquet (a row for each pair and model), OUT/summary.json and OUT/index.html with swaps to look at.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.errors import OutputError
from manifests.output import OutputLock, atomic, remove_partials
from manifests.reader import Dataset
from train.data.faces import TrainingFaces, read_training_faces
from train.data.latents import Latents, read_latents
from train.errors import CheckpointError
from train.judge import metrics
from train.judge.judging import Candidate, Judge, Setting, choose_judge, score
from train.judge.pairs import held_out

PAIRS = "pairs.parquet"
SUMMARY = "summary.json"
MODELS = ("checkpoint", "baseline")

_CENTRE_PEOPLE = 500


@dataclass(frozen=True)
class Request:
    """What the user asked for. pairs: of either kind, at most. embedder: where that of the checkpoints' latents is."""

    checkpoint: Path
    data: Path
    out: Path
    device: str
    baseline: Path | None = None
    judge: str | None = None
    embedder: str | None = None
    pairs: int = 500


@dataclass(frozen=True)
class Metric:
    """A column of the pairs, what it is, of which pairs, and its unit; `better` says which way is good."""

    name: str
    column: str
    kind: str
    title: str
    unit: str
    better: str


METRICS = (
    Metric("distance", "distance", "cross", "cosine distance of swap and source", "", "lower"),
    Metric("gain", "gain", "cross", "cos(swap, source) - cos(target, source)", "", "higher"),
    Metric("top1", "retrieved", "cross", "nearest photo is of the source's person", "%", "higher"),
    Metric("found", "found", "cross", "a face is found in the swap", "%", "higher"),
    Metric("pose_error", "pose_error", "cross", "pose, swap against target", "degrees", "lower"),
    Metric("landmark_error", "landmark_error", "cross", "landmarks, swap against target", "eye distances", "lower"),
    Metric("psnr", "psnr", "same", "PSNR of a swap with another photo of the same person", "dB", "higher"),
    Metric("ssim", "ssim", "same", "SSIM of the same", "", "higher"),
    Metric("distance_before", "distance_before", "cross", "for comparison: target and source, unswapped", "", ""),
    Metric("distance_same", "distance_before", "same", "for comparison: two photos of one person", "", ""),
)


def evaluate(request: Request, say: Callable[[str], None]) -> dict[str, Any]:
    """Judge a checkpoint, and a baseline beside it on the same pairs; returns what summary.json holds.

    `say` gets a line now and then. Raises CheckpointError: a checkpoint is damaged, or of another template than the
    baseline. ModelError: its embedder is not on this machine. DatasetError: too few people. OutputError: `out` cannot
    be written.
    """
    from train.judge.page import write_page

    dataset = Dataset.open(request.data)
    check_apart(request.out, request.data)
    paths = [path for path in (request.checkpoint, request.baseline) if path is not None]
    candidates = [Candidate.load(path, dataset, request.device, request.embedder) for path in paths]
    template = _one_template(candidates)
    everybody = read_training_faces(dataset, template)
    photos, clean, note = held_out(everybody, [one.recipe.held_out for one in candidates])
    with OutputLock(request.out):
        remove_partials(request.out)
        trained = {one.trained.facts.embedder_id for one in candidates}
        judge = judge_of(dataset, everybody, photos, trained, request.judge, request.device, request.out, say)
        setting = Setting.of(photos, template, request.pairs, judge, request.device)
        say(f"judged on {note}")
        say(f"judge: {words_of(judge)}")
        latents = [latents_of(dataset, photos, one, request.out, say) for one in candidates]
        tables = []
        for name, one, own in zip(MODELS, candidates, latents, strict=False):
            table = pa.concat_tables([score(one, setting, own, kind) for kind in ("cross", "same")])
            tables.append(table.add_column(0, "model", pa.array([name] * table.num_rows, pa.string())))
            say(f"{name}: {table.num_rows:,} pairs of {one.path}")
        pairs = pa.concat_tables(tables)
        write_parquet(request.out / PAIRS, pairs)
        summary = {
            "models": {
                name: {"path": str(one.path), "images": one.trained.facts.images, "size": one.recipe.size}
                | {"embedder_id": one.trained.facts.embedder_id, "policy_hash": one.trained.facts.policy_hash}
                for name, one in zip(MODELS, candidates, strict=False)
            },
            "data": {"path": str(request.data), "policy_hash": dataset.policy_hash(), "template": template},
            "judged": {"people": len(photos.people), "photos": len(photos), "held_out": clean, "note": note},
            "judge": {"name": judge.embedder.name, "embedder_id": judge.embedder.embedder_id}
            | {"independent": judge.independent, "centred": bool(judge.centre.any()), "words": words_of(judge)},
            "pairs": {kind: int(pc.sum(pc.equal(tables[0]["kind"], kind)).as_py()) for kind in ("cross", "same")},
            "metrics": {name: summarise(table) for name, table in zip(MODELS, tables, strict=False)},
            "A": fall_of_distance(tables[0], tables[1]) if len(tables) > 1 else None,
        }
        with atomic(request.out / SUMMARY) as partial:
            partial.write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_page(request.out, summary, list(zip(MODELS, candidates, latents, strict=False)), setting, pairs)
    return summary


def judge_of(
    dataset: Dataset,
    everybody: TrainingFaces,
    judged: TrainingFaces,
    trained: set[str],
    named: str | None,
    device: str,
    out: Path,
    say: Callable[[str], None],
) -> Judge:
    """Who judges candidates trained against the embedders `trained`, and what it says of the real photos `judged`.

    everybody: all the dataset's photos, of which the judge's centre is taken: of the few who are held out alone, it
    would lie so near to each that whatever is nobody's face looked nearer to the source than the target is.
    """
    embedder, independent = choose_judge(dataset, trained, named)
    people = np.unique(np.linspace(0, len(everybody.people) - 1, _CENTRE_PEOPLE).astype(np.int64))
    some = everybody.take(everybody.first[people])
    vectors, theirs = (
        read_latents(dataset, photos, embedder.to(device), out / "latents", _every(say)) for photos in (judged, some)
    )
    return Judge.of(embedder, vectors, theirs, independent, device)


def words_of(judge: Judge) -> str:
    """The judge in words, and whether it can be trusted."""
    told = f"{judge.embedder.name} ({judge.embedder.embedder_id})"
    if judge.independent:
        return f"{told}, which was not trained against"
    return f"{told}, THE VERY NETWORK THAT WAS TRAINED AGAINST: it flatters; name another one with --judge"


def latents_of(
    dataset: Dataset, photos: TrainingFaces, candidate: Candidate, out: Path, say: Callable[[str], None]
) -> Latents:
    """The candidate's latents of these photos."""
    return read_latents(dataset, photos, candidate.trained.embedder, out / "latents", _every(say))


def summarise(pairs: pa.Table) -> dict[str, dict[str, float | int | None]]:
    """Pairs of one model -> METRICS by name: mean, its 95% interval by person, and how many pairs it is of."""
    return {metric.name: _summary(pairs, metric) for metric in METRICS}


def fall_of_distance(pairs: pa.Table, baseline: pa.Table) -> dict[str, float | None]:
    """The founding report's A, in %: how far the mean cosine distance lies below the baseline's, on the same pairs."""
    mine, theirs = (cross_distances(table) for table in (pairs, baseline))
    columns = np.stack([mine, theirs], 1)

    def fall(means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return metrics.relative_fall(means[:, 0], means[:, 1])

    low, high = metrics.interval(columns, people_of(pairs, "cross"), fall)
    return {"value": _number(fall(columns.mean(0, keepdims=True))[0]), "low": _number(low), "high": _number(high)}


def cross_distances(pairs: pa.Table) -> npt.NDArray[np.float64]:
    """1 - cos(swap, source) of the pairs of two people, in their order."""
    cross = pairs.filter(pc.equal(pairs["kind"], "cross"))
    return np.asarray(cross["distance"].to_numpy(), np.float64)


def people_of(pairs: pa.Table, kind: str) -> list[npt.NDArray[np.int64]]:
    """Who plays which part in the pairs of that kind: codes of the targets' and, where they differ, the sources'."""
    chosen = pairs.filter(pc.equal(pairs["kind"], kind))
    roles = ["target_person", "source_person"] if kind == "cross" else ["target_person"]
    names = np.stack([np.array(chosen[role].to_pylist(), str) for role in roles])
    codes = np.unique(names, return_inverse=True)[1].reshape(names.shape)
    return list(codes)


def describe(summary: dict[str, Any]) -> list[str]:
    """Lines that tell the numbers of a summary."""
    models = list(summary["metrics"])
    lines = [f"{'':<56} " + "".join(f"{name:>30}" for name in models)]
    for metric in METRICS:
        cells = [written(summary["metrics"][name][metric.name], metric) for name in models]
        lines.append(
            f"{metric.title + (f', {metric.unit}' if metric.unit else ''):<56} " + "".join(f"{c:>30}" for c in cells)
        )
    if summary["A"] is not None:
        a = summary["A"]
        lines.append(f"A, fall of the cosine distance against the baseline: {a['value']:.2f}% {_between(a, 2)}")
    return lines


def written(found: dict[str, Any], metric: Metric) -> str:
    """A metric with its interval, in words; '-' where there is none."""
    if found["value"] is None:
        return "-"
    scale, digits = (100, 1) if metric.unit == "%" else (1, 2 if metric.unit in ("degrees", "dB") else 3)
    return f"{scale * found['value']:.{digits}f} {_between(found, digits, scale)}".strip()


def check_apart(out: Path, data: Path) -> None:
    """Raises OutputError where `out` lies inside the dataset."""
    if out.resolve().is_relative_to(data.resolve()):
        raise OutputError(f"{out} lies inside the dataset {data}, which is only read: choose another --out")


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table, whole or not at all."""
    with atomic(path) as partial:
        pq.write_table(table, partial)


def _summary(pairs: pa.Table, metric: Metric) -> dict[str, float | int | None]:
    chosen = pairs.filter(pc.equal(pairs["kind"], metric.kind))
    values = chosen[metric.column].cast(pa.float64()).to_numpy()
    known = np.isfinite(values)
    if not known.any():
        return {"value": None, "low": None, "high": None, "pairs": 0}
    low, high = metrics.interval(values, people_of(pairs, metric.kind))
    value = float(values[known].mean())
    return {"value": value, "low": _number(low), "high": _number(high), "pairs": int(known.sum())}


def _between(found: dict[str, Any], digits: int, scale: float = 1) -> str:
    if found["low"] is None:
        return ""
    return f"[{scale * found['low']:.{digits}f}, {scale * found['high']:.{digits}f}]"


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def _one_template(candidates: list[Candidate]) -> str:
    names = {one.recipe.template: one.path for one in candidates}
    if len(names) > 1:
        (first, one), (other, two) = names.items()
        raise CheckpointError(f"{one} takes crops of {first}, {two} of {other}: they cannot be judged on the same ones")
    return next(iter(names))


def _every(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """Tells when all faces are embedded."""

    def tell(done: int, of: int) -> None:
        if done == of:
            say(f"embedded {of:,} faces")

    return tell
