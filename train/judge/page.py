"""The page of an evaluation, `index.html`: its metrics, and an even sample of its pairs as marked pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import simplejpeg

from manifests.output import atomic, atomic_folder
from train.data.pairs import Kind
from train.judge.bootstrap import RESAMPLES
from train.judge.candidate import Candidate
from train.judge.judge import to_pixels
from train.judge.pairs import PairSet, unmodified
from train.judge.score_table import METRICS
from train.judge.summary import JudgeSummary, format_cells
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
    out: Path, summary: JudgeSummary, candidates: Mapping[str, Candidate], pair_set: PairSet, pairs: pa.Table
) -> Path:
    """Write `out/index.html` and `out/pictures`; earlier pictures are replaced when the new ones are complete.

    Every picture shows target, source and swaps side by side and has the watermark.

    Args:
        out: folder of the evaluation.
        summary: the metrics.
        candidates: the checkpoints by name; figures are sorted by the scores of the first.
        pair_set: the pairs.
        pairs: scores of all pairs and models, the contents of `pairs.parquet`.
    """
    import jinja2

    with atomic_folder(out / "pictures") as pictures:
        sections = []
        for kind, heading in _HEADINGS.items():
            figures = _write_figures(kind, candidates, pair_set, pairs, pictures)
            if figures:
                sections.append((heading, sorted(figures, key=lambda figure: -figure.gain)))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("train.judge") / "page.html").read_text(encoding="utf-8"))
    page = template.render(
        summary=summary,
        names=list(candidates),
        # The end of the path only: pages are passed on.
        files={name: "/".join(candidate.path.resolve().parts[-3:]) for name, candidate in candidates.items()},
        rows=[(metric, format_cells(summary.metrics, metric)) for metric in METRICS],
        sections=sections,
        resamples=RESAMPLES,
    )
    with atomic(out / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return out / "index.html"


def _write_figures(
    kind: Kind, candidates: Mapping[str, Candidate], pair_set: PairSet, pairs: pa.Table, folder: Path
) -> list[Figure]:
    """Write the pictures of a sample of the pairs of that kind."""
    rows = pair_set.rows(kind)
    if rows is None:
        return []
    indices = np.unique(np.linspace(0, len(rows.targets) - 1, SAMPLE_SIZE[kind]).astype(np.int64))
    sample = unmodified(rows.targets[indices], rows.sources[indices])
    name, first = next(iter(candidates.items()))
    columns: list[Pixels] = []
    for candidate in candidates.values():
        parts = []
        for batch in candidate.batches(pair_set.faces, kind, sample, sources=candidate is first):
            images = to_pixels(candidate.swap(batch))
            if batch.source is not None:
                photos = [photo.permute(0, 2, 3, 1).numpy() for photo in (batch.target, batch.source)]
                images = np.concatenate([*photos, images], 2)
            parts.append(images if images.shape[1] == first.recipe.size else _resize(images, first.recipe.size))
        columns.append(np.concatenate(parts))
    mark = mark_id_of("evaluation", *(candidate.trained.sha256 for candidate in candidates.values()))
    pictures = Watermark(mark).mark(np.concatenate(columns, 2))
    scores = pairs.filter(pc.and_(pc.equal(pairs["model"], name), pc.equal(pairs["kind"], kind)))
    figures: list[Figure] = []
    for picture, row in zip(pictures, scores.take(pa.array(indices)).to_pylist(), strict=True):
        file = f"{kind}-{len(figures):03d}.jpg"
        (folder / file).write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), 95, "RGB", "444"))
        caption = f"gain {row['gain']:.2f}" + ("" if row["psnr"] is None else f", PSNR {row['psnr']:.1f} dB")
        alt = f"Target {row['target']}, source {row['source']}, and the swap"
        figures.append(Figure(f"pictures/{file}", alt, caption, row["gain"]))
    return figures


def _resize(images: Pixels, side: int) -> Pixels:
    """Resize images (N, S, S, 3) to (N, side, side, 3)."""
    method = cv2.INTER_AREA if images.shape[1] > side else cv2.INTER_CUBIC
    return np.stack([np.asarray(cv2.resize(image, (side, side), interpolation=method), np.uint8) for image in images])
