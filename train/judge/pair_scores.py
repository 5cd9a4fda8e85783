"""Scores of the swaps of a checkpoint: one row of `COLUMNS` per pair."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from curate.faces.align import rescale_points
from manifests.landmarks import TEMPLATES
from train.data.loader import Batch
from train.data.pairs import Kind, PairRows
from train.judge.candidate import Candidate
from train.judge.judge import Judge
from train.judge.pairs import PairSet
from train.judge.score_table import COLUMNS, PAIR_SCORES, SwapBatch

KINDS: tuple[Kind, ...] = ("cross", "same")


def score_pairs(
    candidate: Candidate, pairs: PairSet, judge: Judge, advance: Callable[[int], None] = lambda count: None
) -> pa.Table:
    """Swap and score all pairs, those of two people first. advance: called with the number of pairs just scored."""
    tables = [COLUMNS.empty_table()]
    for kind in KINDS:
        rows = pairs.rows(kind)
        if rows is not None:
            tables.append(_score_kind(candidate, pairs, judge, kind, rows, advance))
    return pa.concat_tables(tables)


def pair_count(pairs: PairSet) -> int:
    """Pairs of both kinds."""
    return sum(len(rows.targets) for kind in KINDS if (rows := pairs.rows(kind)) is not None)


def _score_kind(
    candidate: Candidate, pairs: PairSet, judge: Judge, kind: Kind, rows: PairRows, advance: Callable[[int], None]
) -> pa.Table:
    scores = [score for score in PAIR_SCORES if kind in score.kinds]
    parts: dict[str, list[npt.NDArray[Any]]] = {score.column: [] for score in scores}
    for batch in candidate.batches(pairs.faces, kind, rows):
        swapped = _swap_batch(candidate, pairs, judge, batch)
        for score in scores:
            parts[score.column].append(score.compute(swapped).cpu().numpy())
        advance(len(batch.targets))
    # from_pandas: a NaN, where no face was detected, becomes null.
    values = {column: pa.array(np.concatenate(part), from_pandas=True) for column, part in parts.items()}
    faces, names = pairs.faces, np.array(pairs.faces.people, object)
    values |= {
        "kind": pa.array([kind] * len(rows.targets), pa.string()),
        "target": pa.array(faces.face_id[rows.targets], pa.string()),
        "source": pa.array(faces.face_id[rows.sources], pa.string()),
        "target_person": pa.array(names[faces.person[rows.targets]], pa.string()),
        "source_person": pa.array(names[faces.person[rows.sources]], pa.string()),
    }
    columns = [
        values[field.name].cast(field.type) if field.name in values else pa.nulls(len(rows.targets), field.type)
        for field in COLUMNS
    ]
    return pa.table(columns, schema=COLUMNS)


def _swap_batch(candidate: Candidate, pairs: PairSet, judge: Judge, batch: Batch) -> SwapBatch:
    """Swap a batch of pairs, and embed and detect faces in swaps and targets."""
    faces, device = pairs.faces, judge.centre.device
    scale = candidate.recipe.size / faces.side
    template = TEMPLATES[pairs.template]
    eye_distance = scale * float(np.linalg.norm(template.points[:, 1] - template.points[:, 0], axis=1).max())
    landmarks = rescale_points(faces.points[batch.targets].astype(np.float64), scale)
    swap, target = candidate.swap(batch), batch.target.to(device).float() / 255
    return SwapBatch(
        swap=swap,
        target=target,
        swap_embedding=judge.embed(swap, landmarks),
        target_embedding=judge.embed(target, landmarks),
        source_embedding=judge.gallery[torch.from_numpy(batch.sources).to(device)],
        swap_landmarks=judge.detect(swap),
        target_landmarks=judge.detect(target),
        eye_distance=eye_distance,
        sources=batch.sources,
        gallery=judge.gallery,
        people=faces.person,
    )
