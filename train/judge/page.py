"""An evaluation -> OUT/index.html: its numbers, and an even sample of its pairs as marked pictures."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import simplejpeg

from curate.faces.weights import file_sha256
from manifests.output import atomic, writable
from train.data.latents import Latents
from train.data.pairs import Kind, PairRows
from train.judge.evaluate import METRICS, written
from train.judge.judging import Candidate, Setting, as_pixels, batches
from train.marks.marking import mark_id_of
from train.marks.watermark.writer import Watermark

Pixels = npt.NDArray[np.uint8]

SHOWN: dict[Kind, int] = {"cross": 24, "same": 8}
"""Pairs on the page: every n-th, not the best ones."""

_HEADINGS = {"cross": "Swaps between two people", "same": "Swaps with another photo of the same person"}


@dataclass(frozen=True)
class Shown:
    """One pair on the page: its picture's file, what is on it for who cannot see it, and its numbers in words."""

    file: str
    alt: str
    words: str
    gain: float


def write_page(
    out: Path,
    summary: dict[str, Any],
    candidates: Sequence[tuple[str, Candidate, Latents]],
    setting: Setting,
    pairs: pa.Table,
) -> Path:
    """Write `out/index.html` and `out/pictures`, replacing former ones when the new ones are complete.

    candidates: name, checkpoint and latents, the first the one that is judged; pairs: the rows that were told of them.
    Every picture, of target, source and swaps side by side, carries the watermark.
    """
    import jinja2

    draft, target = out / ".pictures.partial", out / "pictures"
    with writable(target):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        sections = []
        for kind in SHOWN:
            shown = _pictures(kind, candidates, setting, pairs, draft)
            if shown:
                sections.append((_HEADINGS[kind], sorted(shown, key=lambda one: -one.gain)))
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
    names = [name for name, _, _ in candidates]
    rows = [(m, [written(summary["metrics"][name][m.name], m) for name in names]) for m in METRICS]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("train.judge") / "page.html").read_text(encoding="utf-8"))
    # Not the whole path: pages are passed on.
    run_and_file = {name: "/".join(one.path.resolve().parts[-3:]) for name, one, _ in candidates}
    page = template.render(summary=summary, names=names, files=run_and_file, rows=rows, sections=sections)
    with atomic(out / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return out / "index.html"


def _pictures(
    kind: Kind, candidates: Sequence[tuple[str, Candidate, Latents]], setting: Setting, pairs: pa.Table, folder: Path
) -> list[Shown]:
    """Writes the pictures of some pairs of that kind."""
    rows = setting.rows(kind)
    if rows is None:
        return []
    at = np.unique(np.linspace(0, len(rows.targets) - 1, SHOWN[kind]).astype(np.int64))
    still = np.zeros(len(at), bool)
    some = PairRows(rows.targets[at], rows.sources[at], still, still)
    side = candidates[0][1].recipe.size
    columns: list[Pixels] = []
    for number, (_, candidate, latents) in enumerate(candidates):
        parts = []
        for batch in batches(candidate, setting, latents, kind, some, sources=number == 0):
            swapped = as_pixels(candidate.swap(batch))
            if batch.source is not None:
                photos = [photo.permute(0, 2, 3, 1).numpy() for photo in (batch.target, batch.source)]
                swapped = np.concatenate([*photos, swapped], 2)
            parts.append(swapped if len(swapped[0]) == side else _sized(swapped, side))
        columns.append(np.concatenate(parts))
    mark = mark_id_of("evaluation", *(file_sha256(candidate.path) for _, candidate, _ in candidates))
    grids = Watermark(mark, candidates[0][1].trained.device).mark(np.concatenate(columns, 2))
    told = pairs.filter(pc.and_(pc.equal(pairs["model"], candidates[0][0]), pc.equal(pairs["kind"], kind)))
    shown: list[Shown] = []
    for grid, row in zip(grids, told.take(pa.array(at)).to_pylist(), strict=True):
        name = f"{kind}-{len(shown):03d}.jpg"
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(grid), 95, "RGB", "444")
        (folder / name).write_bytes(data)
        words = f"gain {row['gain']:.2f}" + ("" if row["psnr"] is None else f", PSNR {row['psnr']:.1f} dB")
        alt = f"Target {row['target']}, source {row['source']}, and the swap"
        shown.append(Shown(f"pictures/{name}", alt, words, row["gain"]))
    return shown


def _sized(pictures: Pixels, side: int) -> Pixels:
    """Pictures (N, S, S, 3) at another size."""
    method = cv2.INTER_AREA if len(pictures[0]) > side else cv2.INTER_CUBIC
    return np.stack([np.asarray(cv2.resize(one, (side, side), interpolation=method), np.uint8) for one in pictures])
