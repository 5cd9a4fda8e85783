"""Scores of the swaps of a candidate: rows of `COLUMNS`, and the features of its swaps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import normalize

from curate.faces.align import rescale_points
from manifests.landmarks import TEMPLATES
from train.data.crops import CropReader
from train.data.pairs import Kind
from train.judge.candidate import Candidate, read_images
from train.judge.judge import Judge
from train.judge.measurement import Measured, Measurer
from train.judge.metrics import retrieval_rank
from train.judge.pairs import JudgedPairs, PairSet
from train.judge.resize import resize
from train.judge.score_table import COLUMNS, PAIR_SCORES, SwapBatch

BATCH = 16
KINDS: tuple[Kind, ...] = ("cross", "same")

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class CandidateScores:
    """The scores of a candidate.

    Attributes:
        table: rows of `COLUMNS`, for each judge in turn all pairs, those of two people first.
        features: (N, F), of the swaps of two people; see `Measured`.
    """

    table: pa.Table
    features: npt.NDArray[np.float64]


class PairScorer:
    """Swaps and scores all pairs; the unchanged targets are measured once.

    Args:
        pairs: the pairs.
        judges: each of them measures all swaps.
    """

    def __init__(self, pairs: PairSet, judges: list[Judge]) -> None:
        self.pairs, self.judges = pairs, judges
        self._measurer = Measurer(judges)
        self._reader = CropReader(pairs.faces, pairs.size)
        self._scale = pairs.size / pairs.faces.side
        template = TEMPLATES[pairs.template]
        eyes = np.linalg.norm(template.points[:, 1] - template.points[:, 0], axis=1).max()
        self._eye_distance = self._scale * float(eyes)
        self._targets: dict[Kind, Measured] = {}

    def score(self, candidate: Candidate, advance: Callable[[int], None] = lambda count: None) -> CandidateScores:
        """Swap and score all pairs. advance: called with the number of pairs just scored."""
        tables: dict[str, list[pa.Table]] = {judge.chosen.name: [] for judge in self.judges}
        features = np.zeros((0, 0))
        for pairs in self.pairs.all:
            columns, measured = self._score_kind(candidate, pairs, advance)
            for (name, parts), values in zip(tables.items(), columns, strict=True):
                parts.append(self._table(pairs, name, values))
            if pairs.kind == "cross":
                features = measured.features.double().cpu().numpy()
        return CandidateScores(pa.concat_tables(table for parts in tables.values() for table in parts), features)

    def target_features(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Features of the different targets of the pairs of two people, (M, F), and the person of each, (M,)."""
        rows, first = np.unique(self.pairs.cross.targets, return_index=True)
        measured = self._measured_targets(self.pairs.cross)
        return measured.features.double().cpu().numpy()[first], self.pairs.faces.person[rows]

    def _score_kind(
        self, candidate: Candidate, pairs: JudgedPairs, advance: Callable[[int], None]
    ) -> tuple[list[Columns], Measured]:
        """The scores of each judge, and the measurements of the swaps."""
        scores = [score for score in PAIR_SCORES if pairs.kind in score.kinds]
        parts: list[dict[str, list[npt.NDArray[Any]]]] = [{s.column: [] for s in scores} for _ in self.judges]
        targets = self._measured_targets(pairs)
        measured, start = [], 0
        for batch in pairs.batches(BATCH):
            swap = resize(candidate.swap(batch).to(self._measurer.device), self.pairs.size)
            measured.append(self._measurer.measure(swap, self._landmarks(batch)))
            target_images = read_images(self._reader, batch.targets).to(swap.device)
            rows = slice(start, start + len(batch))
            attributes: dict[str, npt.NDArray[Any]] = {}
            for number, collected in enumerate(parts):
                swaps = self._batch(number, batch, swap, target_images, measured[-1], targets.take(rows))
                for score in scores:
                    if score.by_judge or score.column not in attributes:
                        attributes[score.column] = score.compute(swaps).cpu().numpy()
                    collected[score.column].append(attributes[score.column])
            start += len(batch)
            advance(len(batch))
        return [{name: np.concatenate(values) for name, values in part.items()} for part in parts], Measured.join(
            measured
        )

    def _batch(
        self, number: int, pairs: JudgedPairs, swap: Tensor, target: Tensor, measured: Measured, targets: Measured
    ) -> SwapBatch:
        """The swaps as judge `number` measures them."""
        judge, set_ = self.judges[number], self.pairs
        sources = torch.from_numpy(pairs.source_means(judge.photos.cpu().numpy())).to(judge.photos)
        embedding = measured.embeddings[number]
        return SwapBatch(
            swap=swap,
            target=target,
            swap_embedding=embedding,
            target_embedding=targets.embeddings[number],
            source_embedding=normalize(sources),
            swap_landmarks=measured.landmarks,
            target_landmarks=targets.landmarks,
            swap_parts=measured.parts,
            target_parts=targets.parts,
            eye_distance=self._eye_distance,
            rank=retrieval_rank(embedding, pairs.sources, judge.photos, set_.faces.person, set_.gallery),
        )

    def _measured_targets(self, pairs: JudgedPairs) -> Measured:
        if pairs.kind not in self._targets:
            self._targets[pairs.kind] = Measured.join(
                [
                    self._measurer.measure(
                        read_images(self._reader, batch.targets).to(self._measurer.device), self._landmarks(batch)
                    )
                    for batch in pairs.batches(BATCH)
                ]
            )
        return self._targets[pairs.kind]

    def _landmarks(self, pairs: JudgedPairs) -> npt.NDArray[np.float64]:
        """Landmarks of the targets, px of the measured crop."""
        return rescale_points(self.pairs.faces.points[pairs.targets].astype(np.float64), self._scale)

    def _table(self, pairs: JudgedPairs, judge: str, columns: Columns) -> pa.Table:
        # from_pandas: a NaN, where no face was detected, becomes null.
        values = {column: pa.array(part, from_pandas=True) for column, part in columns.items()}
        faces, names = self.pairs.faces, np.array(self.pairs.faces.people, object)
        sources = pairs.first_sources
        values |= {
            "kind": pa.array([pairs.kind] * len(pairs), pa.string()),
            "target": pa.array(faces.face_id[pairs.targets], pa.string()),
            "source": pa.array(faces.face_id[sources], pa.string()),
            "target_person": pa.array(names[faces.person[pairs.targets]], pa.string()),
            "source_person": pa.array(names[faces.person[sources]], pa.string()),
            "judge": pa.array([judge] * len(pairs), pa.string()),
        }
        arrays = [
            values[field.name].cast(field.type) if field.name in values else pa.nulls(len(pairs), field.type)
            for field in COLUMNS
        ]
        return pa.table(arrays, schema=COLUMNS)
