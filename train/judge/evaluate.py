"""`simswap evaluate`: scores the swaps of a checkpoint, and of a baseline, on people that neither was trained on.

Writes OUT/pairs.parquet (one row per pair and model), OUT/summary.json and OUT/index.html with a sample of the swaps.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate.listener import SILENT, Listener, progress
from manifests.errors import OutputError
from manifests.output import OutputLock, atomic, remove_results
from manifests.reader import Dataset
from manifests.writer import write_table
from train.data.faces import TrainingFaces, read_training_faces
from train.errors import CheckpointError
from train.judge.candidate import Candidate
from train.judge.judge import Judge, JudgeEmbedder, choose_embedder, create_judge, dataset_embedders
from train.judge.page import write_page
from train.judge.pair_scores import KINDS, pair_count, score_pairs
from train.judge.pairs import JudgedFaces, PairSet, select_faces
from train.judge.summary import (
    CheckpointRecord,
    DatasetRecord,
    JudgedFacesRecord,
    JudgeRecord,
    JudgeSummary,
    distance_reduction,
    summarise,
)
from train.trained import TrainedGenerator, load_trained

PAIRS = "pairs.parquet"
SUMMARY = "summary.json"
PAGE = "index.html"


@dataclass(frozen=True)
class JudgeRequest:
    """The options of `simswap evaluate`.

    Attributes:
        checkpoint: A checkpoint of `simswap fit`.
        data: A curated dataset.
        out: Folder of the results.
        device: "cpu", "cuda", "cuda:1", ...
        baseline: A checkpoint that is scored on the same pairs.
        judge: Name or file of the embedder that judges; see `train.judge.judge.choose_embedder`.
        embedder: Name or file of the checkpoints' embedder; None searches for it by its id.
        pairs: Maximum number of pairs of each kind.
    """

    checkpoint: Path
    data: Path
    out: Path
    device: str = "cpu"
    baseline: Path | None = None
    judge: str | None = None
    embedder: str | None = None
    pairs: int = 500

    @property
    def checkpoints(self) -> dict[str, Path]:
        """The checkpoint files by the name of their model."""
        baseline = {} if self.baseline is None else {"baseline": self.baseline}
        return {"checkpoint": self.checkpoint} | baseline


@dataclass(frozen=True)
class JudgePlan:
    """A request that can be run.

    Attributes:
        request: The request.
        dataset: The dataset.
        models: The checkpoints' generators by name.
        faces: All kept faces of the dataset.
        judged: The faces that are judged on.
        pairs: The pairs that are swapped.
        judge: The embedder that judges.
    """

    request: JudgeRequest
    dataset: Dataset
    models: dict[str, TrainedGenerator]
    faces: TrainingFaces
    judged: JudgedFaces
    pairs: PairSet
    judge: JudgeEmbedder


def plan(request: JudgeRequest) -> JudgePlan:
    """Load and check everything; nothing is written.

    Raises:
        CheckpointError: a checkpoint is damaged, or of another template than the baseline.
        DatasetError: not a curated dataset, of another template, or of fewer than two people.
        ModelError: the embedder of a checkpoint, or the judge, is not on this machine.
        OutputError: `out` is inside the dataset.
    """
    dataset = Dataset.open(request.data)
    require_outside(request.out, request.data)
    hints = dataset_embedders(dataset)
    models = {
        name: load_trained(path, request.device, request.embedder, hints) for name, path in request.checkpoints.items()
    }
    template = _common_template(models, request.checkpoints)
    faces = read_training_faces(dataset, template)
    judged = select_faces(faces, [model.recipe for model in models.values()])
    pairs = PairSet.sample(judged, template, request.pairs)
    judge = choose_embedder(dataset, {model.facts.embedder_id for model in models.values()}, request.judge)
    return JudgePlan(request, dataset, models, faces, judged, pairs, judge)


def run(planned: JudgePlan, listener: Listener = SILENT) -> JudgeSummary:
    """Swap and score all pairs, write the results, and return the contents of `summary.json`.

    Raises:
        BusyError: another run is using `out`.
        DatasetError: a shard is missing or damaged.
        OutputError: `out` cannot be written.
    """
    request, dataset, faces = planned.request, planned.dataset, planned.judged.faces
    cache = request.out / "latents"
    with OutputLock(request.out):
        judge = create_judge(planned.judge, dataset, planned.faces, faces, request.device, cache, listener)
        listener.note(f"judged on {planned.judged.note}")
        listener.note(f"judge: {planned.judge}")
        candidates = {
            name: Candidate.create(request.checkpoints[name], model, dataset, faces, cache, listener)
            for name, model in planned.models.items()
        }
        scores: dict[str, pa.Table] = {}
        for name, candidate in candidates.items():
            with progress(listener, f"scoring {name}", pair_count(planned.pairs), "pairs") as advance:
                scores[name] = score_pairs(candidate, planned.pairs, judge, advance)
            listener.note(f"{name}: {scores[name].num_rows:,} pairs of {candidate.path}")
        rows = pa.concat_tables(
            table.add_column(0, "model", pa.array([name] * table.num_rows, pa.string()))
            for name, table in scores.items()
        )
        remove_results(request.out / PAGE, request.out / SUMMARY)
        write_table(request.out / PAIRS, rows, rows.schema)
        summary = _summary(planned, judge, scores)
        with atomic(request.out / SUMMARY) as partial:
            partial.write_text(json.dumps(summary.to_json(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_page(request.out, summary, candidates, planned.pairs, rows)
    return summary


def require_outside(out: Path, data: Path) -> None:
    """Raise OutputError if `out` is inside the dataset."""
    if out.resolve().is_relative_to(data.resolve()):
        raise OutputError(f"{out} lies inside the dataset {data}, which is only read: choose another --out")


def _common_template(models: dict[str, TrainedGenerator], checkpoints: dict[str, Path]) -> str:
    templates = {model.recipe.template: checkpoints[name] for name, model in models.items()}
    if len(templates) > 1:
        crops = " and ".join(f"{path} takes crops of {template}" for template, path in templates.items())
        raise CheckpointError(f"{crops}: give two checkpoints of one template, which can be judged on the same crops")
    return next(iter(templates))


def _summary(planned: JudgePlan, judge: Judge, scores: dict[str, pa.Table]) -> JudgeSummary:
    request, judged, embedder = planned.request, planned.judged, planned.judge.embedder
    first, *others = scores.values()
    return JudgeSummary(
        models={
            name: CheckpointRecord(
                path=str(request.checkpoints[name]),
                images=model.facts.images,
                size=model.size,
                embedder_id=model.facts.embedder_id,
                policy_hash=model.facts.policy_hash,
            )
            for name, model in planned.models.items()
        },
        data=DatasetRecord(str(request.data), planned.dataset.policy_hash(), planned.pairs.template),
        judged=JudgedFacesRecord(len(judged.faces.people), len(judged.faces), judged.held_out, judged.note),
        judge=JudgeRecord(
            name=embedder.name,
            embedder_id=embedder.embedder_id,
            independent=planned.judge.independent,
            centred=bool(judge.centre.any()),
            description=str(planned.judge),
        ),
        pairs={kind: int(pc.sum(pc.equal(first["kind"], kind)).as_py()) for kind in KINDS},
        metrics={name: summarise(table) for name, table in scores.items()},
        distance_reduction=distance_reduction(first, others[0]) if others else None,
    )
