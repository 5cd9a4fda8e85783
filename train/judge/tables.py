"""All numbers of an evaluation from the scores of its candidates."""

from collections.abc import Mapping

import numpy as np

from train.judge import fid
from train.judge.columns import of_judge
from train.judge.frontier import advantages
from train.judge.judge import Judge
from train.judge.pair_scores import KINDS, CandidateScores, PairScorer
from train.judge.pairs import PairSet
from train.judge.summary import (
    CandidateRecord,
    DatasetRecord,
    JudgedFacesRecord,
    JudgeRecord,
    JudgeSummary,
    distance_reduction,
    summarise,
)

BASELINE = "baseline"
"""Name of the candidate against which A is computed."""


def summarise_all(
    models: dict[str, CandidateRecord],
    data: DatasetRecord,
    judged: JudgedFacesRecord,
    judges: list[Judge],
    pairs: PairSet,
    scores: Mapping[str, CandidateScores],
    scorer: PairScorer,
) -> JudgeSummary:
    """The summary of an evaluation.

    Args:
        models, data, judged: records, as they are.
        judges: the first is that of A.
        pairs: the pairs that were swapped.
        scores: by model.
        scorer: has measured the targets.
    """
    tables = {
        judge.chosen.name: {name: of_judge(score.table, judge.chosen.name) for name, score in scores.items()}
        for judge in judges
    }
    first = next(iter(tables.values()))
    photos, photo_people = scorer.target_features()
    cross, person = pairs.cross, pairs.faces.person
    people = np.stack([person[cross.targets], person[cross.first_sources]], 1)
    reductions = {
        name: distance_reduction(table, first[BASELINE])
        for name, table in first.items()
        if BASELINE in first and name != BASELINE and models[name].kind != "blend"
    }
    halves = fid.halves_distance(photos) if len(photos) >= fid.MIN_HALVES else None
    return JudgeSummary(
        models=models,
        data=data,
        judged=judged,
        judges={judge.chosen.name: _record(judge) for judge in judges},
        pairs={kind: sum(len(part) for part in pairs.all if part.kind == kind) for kind in KINDS},
        metrics={
            judge: {name: summarise(table) for name, table in of_models.items()} for judge, of_models in tables.items()
        },
        distributions={
            name: fid.compare(score.features, people, photos, photo_people) for name, score in scores.items()
        },
        features=fid.FEATURES,
        halves=halves,
        frontier={judge: part for judge, of_models in tables.items() if (part := advantages(of_models))},
        distance_reduction=reductions,
    )


def _record(judge: Judge) -> JudgeRecord:
    chosen = judge.chosen
    return JudgeRecord(
        name=chosen.name,
        embedder_id=chosen.embedder.embedder_id,
        sha256=chosen.sha256,
        independent=chosen.independent,
        centred=bool(judge.centre.any()),
        description=str(chosen),
    )
