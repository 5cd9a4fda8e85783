"""The page of an evaluation, `index.html`: its metrics, and an even sample of its pairs as marked pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import simplejpeg

from manifests.output import atomic, atomic_folder
from train.data.crops import CropReader
from train.data.pairs import Kind
from train.judge.bootstrap import RESAMPLES
from train.judge.candidate import Candidate
from train.judge.measurement import to_pixels
from train.judge.pair_scores import BATCH
from train.judge.pairs import PairSet
from train.judge.report import images, rows
from train.judge.resize import resize
from train.judge.summary import JudgeSummary
from train.marks.marking import mark_id_of
from train.marks.watermark.writer import Watermark

Pixels = npt.NDArray[np.uint8]

SAMPLE_SIZE: dict[Kind, int] = {"cross": 24, "same": 8}
"""Pairs on the page, evenly spaced over all pairs of the kind."""

_HEADINGS: dict[Kind, str] = {
    "cross": "Swaps between two people",
    "same": "Swaps with another photo of the same person",
}


@dataclass(frozen=True)
class Figure:
    """A pair on the page. file: its picture, relative to the page. alt: text alternative. caption: its scores."""

    file: str
    alt: str
    caption: str
    gain: float


def write_page(
    out: Path,
    summary: JudgeSummary,
    candidates: Mapping[str, Candidate],
    pair_set: PairSet,
    pairs: pa.Table,
    plot: str = "",
) -> Path:
    """Write `out/index.html` and `out/pictures`; earlier pictures are replaced when the new ones are complete.

    Every picture shows target, source and swaps side by side and has the watermark.

    Args:
        out: folder of the evaluation.
        summary: the metrics.
        candidates: those that are shown, by name; figures are sorted by the scores of the first.
        pair_set: the pairs.
        pairs: scores of all pairs and models, the contents of `pairs.parquet`.
        plot: SVG of the frontier; empty for none.
    """
    import jinja2

    with atomic_folder(out / "pictures") as pictures:
        sections = []
        for kind, heading in _HEADINGS.items():
            figures = _write_figures(kind, candidates, pair_set, pairs, pictures, summary)
            if figures:
                sections.append((heading, sorted(figures, key=lambda figure: -figure.gain)))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("train.judge") / "page.html").read_text(encoding="utf-8"))
    page = template.render(
        summary=summary,
        names=list(summary.models),
        shown=list(candidates),
        # The end of the path only: pages are passed on.
        files={name: "/".join(Path(model.path).resolve().parts[-3:]) for name, model in summary.models.items()},
        rows=list(rows(summary)),
        images=images(summary),
        plot=plot,
        sections=sections,
        resamples=RESAMPLES,
    )
    with atomic(out / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return out / "index.html"


def _write_figures(
    kind: Kind,
    candidates: Mapping[str, Candidate],
    pair_set: PairSet,
    pairs: pa.Table,
    folder: Path,
    summary: JudgeSummary,
) -> list[Figure]:
    """Write the pictures of a sample of the pairs of that kind."""
    every = next((part for part in pair_set.all if part.kind == kind), None)
    if every is None:
        return []
    indices = np.unique(np.linspace(0, len(every) - 1, SAMPLE_SIZE[kind]).astype(np.int64))
    sample, reader = every.take(indices), CropReader(pair_set.faces, pair_set.size)
    columns: list[Pixels] = [reader.crops(sample.targets), reader.crops(sample.first_sources)]
    for candidate in candidates.values():
        parts = [to_pixels(resize(candidate.swap(batch), pair_set.size)) for batch in sample.batches(BATCH)]
        columns.append(np.concatenate(parts))
    mark = mark_id_of("evaluation", *(summary.models[name].sha256 for name in candidates))
    pictures = Watermark(mark).mark(np.concatenate(columns, 2))
    first = pc.and_(pc.equal(pairs["model"], next(iter(candidates))), pc.equal(pairs["judge"], summary.first_judge))
    scores = pairs.filter(pc.and_(first, pc.equal(pairs["kind"], kind)))
    figures: list[Figure] = []
    for picture, row in zip(pictures, scores.take(pa.array(indices)).to_pylist(), strict=True):
        file = f"{kind}-{len(figures):03d}.jpg"
        (folder / file).write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), 95, "RGB", "444"))
        caption = f"gain {row['gain']:.2f}" + ("" if row["psnr"] is None else f", PSNR {row['psnr']:.1f} dB")
        alt = f"Target {row['target']}, source {row['source']}, and the swap"
        figures.append(Figure(f"pictures/{file}", alt, caption, row["gain"]))
    return figures
