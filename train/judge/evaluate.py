"""`simswap evaluate`: scores the swaps of candidates on people that none was trained on.

Writes OUT/pairs.parquet (one row per pair, candidate and judge), OUT/summary.json, OUT/summary.csv, OUT/index.html with
a sample of the swaps and, with a protocol file, OUT/frontier.svg.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.counts import counted
from curate.faces.weights import file_sha256
from curate.listener import SILENT, Listener, progress
from manifests.errors import OutputError
from manifests.identity import is_held_out
from manifests.output import OutputLock, atomic, remove_results
from manifests.reader import Dataset
from manifests.writer import write_table
from train.data.faces import TrainingFaces, read_training_faces
from train.data.latents import read_latents
from train.errors import CheckpointError, ProtocolError
from train.judge.candidate import Blend, Candidate, CheckpointCandidate
from train.judge.frontier import ALPHAS, blend_name
from train.judge.frontier_plot import frontier_svg
from train.judge.judge import JudgeEmbedder, choose_embedders, create_judge, dataset_embedders
from train.judge.onnx_candidate import OnnxCandidate, OnnxGenerator, load_onnx
from train.judge.page import write_page
from train.judge.pair_scores import CandidateScores, PairScorer
from train.judge.pairs import Indices, PairSet, select_faces
from train.judge.protocol import read_protocol
from train.judge.report import to_csv
from train.judge.summary import CandidateRecord, DatasetRecord, JudgedFacesRecord, JudgeSummary
from train.judge.tables import BASELINE, summarise_all
from train.networks.people import parse_people
from train.trained import TrainedGenerator, load_trained

PAIRS, SUMMARY, CSV, PAGE, PLOT = "pairs.parquet", "summary.json", "summary.csv", "index.html", "frontier.svg"

Model = TrainedGenerator | OnnxGenerator


@dataclass(frozen=True)
class JudgeRequest:
    """The options of `simswap evaluate`.

    Attributes:
        candidates: Files by name: checkpoints of `simswap fit`, ONNX generators, or TOML files that describe one.
        data: A curated dataset.
        out: Folder of the results.
        device: "cpu", "cuda", "cuda:1", ...
        baseline: A file as those of `candidates`, against which A is computed.
        judges: Names or files of the embedders that judge; empty for the default of `choose_embedders`.
        embedder: Name or file of the checkpoints' embedder; None searches for it by its id.
        pairs: Maximum number of pairs of each kind, without a protocol file.
        protocol: File of `simswap pairs`; the target and blends with the source are then candidates too.
    """

    candidates: Mapping[str, Path]
    data: Path
    out: Path
    device: str = "cpu"
    baseline: Path | None = None
    judges: Sequence[str] = ()
    embedder: str | None = None
    pairs: int = 500
    protocol: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """Candidates and baseline by name."""
        return {**self.candidates, **({} if self.baseline is None else {BASELINE: self.baseline})}


@dataclass(frozen=True)
class JudgePlan:
    """A request that can be run.

    Attributes:
        request: The request.
        dataset: The dataset.
        models: The generators by name.
        held_out: By name, whether the training held the swapped people or photos out; None where unknown.
        faces: All kept faces of the dataset.
        pairs: The pairs that are swapped.
        note: Description of what is judged on, for people.
        judges: The embedders that judge.
    """

    request: JudgeRequest
    dataset: Dataset
    models: dict[str, Model]
    held_out: dict[str, bool | None]
    faces: TrainingFaces
    pairs: PairSet
    note: str
    judges: list[JudgeEmbedder]


def plan(request: JudgeRequest) -> JudgePlan:
    """Load and check everything; nothing is written.

    Raises:
        CheckpointError: a generator is damaged, or of another template than the others or the dataset.
        DatasetError: not a curated dataset, of another template, of fewer than two people, or not that of the protocol.
        ModelError: the embedder of a generator, or a judge, is not on this machine.
        OutputError: `out` is inside the dataset.
        ProtocolError: the protocol file is damaged, or ONNX generators are to be judged without one.
    """
    dataset = Dataset.open(request.data)
    require_outside(request.out, request.data)
    models = _load_models(request, dataset)
    checkpoints = {name: model for name, model in models.items() if isinstance(model, TrainedGenerator)}
    template = _common_template(checkpoints, request.files)
    if request.protocol is None:
        if len(checkpoints) < len(models):
            raise ProtocolError(
                "ONNX generators do not record whom they were trained on: write a list of pairs with `simswap pairs`, "
                "and give it as --protocol"
            )
        faces = read_training_faces(dataset, template or dataset.info.template)
        judged = select_faces(faces, [model.recipe for model in checkpoints.values()])
        size = max(model.size for model in models.values())
        pairs, note = PairSet.sample(judged, dataset.info.template, size, request.pairs), judged.note
        held_out: dict[str, bool | None] = dict.fromkeys(models, judged.held_out)
    else:
        file, pairs = read_protocol(request.protocol, dataset)
        if template not in (None, file.template):
            raise CheckpointError(
                f"the checkpoints take crops of {template}, and {request.protocol} is of {file.template}: write a "
                f"protocol file of a dataset measured with --template {template}"
            )
        faces = read_training_faces(dataset, file.template)
        held_out = {name: _is_held_out(model, pairs) for name, model in models.items()}
        note = _protocol_note(request.protocol, pairs, held_out)
    ids = {model.embedder.embedder_id for model in models.values()}
    judges = choose_embedders(dataset, ids, request.judges)
    return JudgePlan(request, dataset, models, held_out, faces, pairs, note, judges)


def run(planned: JudgePlan, listener: Listener = SILENT) -> JudgeSummary:
    """Swap and score all pairs, write the results, and return the contents of `summary.json`.

    Raises:
        BusyError: another run is using `out`.
        DatasetError: a shard is missing or damaged.
        OutputError: `out` cannot be written.
    """
    request, pairs = planned.request, planned.pairs
    cache = request.out / "latents"
    with OutputLock(request.out):
        judges = [
            create_judge(chosen, planned.dataset, planned.faces, pairs.faces, request.device, cache, listener)
            for chosen in planned.judges
        ]
        listener.note(f"judged on {planned.note}")
        for chosen in planned.judges:
            listener.note(f"judge: {chosen}")
        for name, model in planned.models.items():
            if isinstance(model, OnnxGenerator) and request.device.startswith("cuda") and not model.uses_gpu:
                listener.note(f"{name} runs on the CPU: onnxruntime finds no GPU; install onnxruntime-gpu in its place")
        candidates = _candidates(planned, cache, listener)
        scorer = PairScorer(pairs, judges)
        scores: dict[str, CandidateScores] = {}
        try:
            for name, candidate in candidates.items():
                with progress(listener, f"scoring {name}", len(pairs), "pairs") as advance:
                    scores[name] = scorer.score(candidate, advance)
            tables = {name: score.table for name, score in scores.items()}
            rows = pa.concat_tables(
                table.add_column(0, "model", pa.array([name] * table.num_rows, pa.string()))
                for name, table in tables.items()
            )
            remove_results(*(request.out / name for name in (PAGE, PLOT, CSV, SUMMARY)))
            write_table(request.out / PAIRS, rows, rows.schema)
            judged = _judged_record(planned)
            records = {name: _record(planned, name, candidate) for name, candidate in candidates.items()}
            summary = summarise_all(records, _data_record(planned), judged, judges, pairs, scores, scorer)
            plot = frontier_svg(summary.metrics[summary.first_judge], _plot_title(summary)) if summary.frontier else ""
            contents = {SUMMARY: json.dumps(summary.to_json(), indent=2, sort_keys=True) + "\n", CSV: to_csv(summary)}
            for name, text in (contents | ({PLOT: plot} if plot else {})).items():
                with atomic(request.out / name) as partial:
                    partial.write_text(text, encoding="utf-8")
            shown = {name: candidates[name] for name in planned.models}
            write_page(request.out, summary, shown, pairs, rows, plot)
        finally:
            for candidate in candidates.values():
                candidate.close()
    return summary


def require_outside(out: Path, data: Path) -> None:
    """Raise OutputError if `out` is inside the dataset."""
    if out.resolve().is_relative_to(data.resolve()):
        raise OutputError(f"{out} lies inside the dataset {data}, which is only read: choose another --out")


def _load_models(request: JudgeRequest, dataset: Dataset) -> dict[str, Model]:
    hints = dataset_embedders(dataset)
    return {
        name: load_onnx(path, request.device, request.embedder)
        if path.suffix in (".onnx", ".toml")
        else load_trained(path, request.device, request.embedder, hints)
        for name, path in request.files.items()
    }


def _candidates(planned: JudgePlan, cache: Path, listener: Listener) -> dict[str, Candidate]:
    """All candidates by name: the generators and, with a protocol file, the target and its blends with the source."""
    dataset, pairs, candidates = planned.dataset, planned.pairs, dict[str, Candidate]()
    for name, model in planned.models.items():
        if isinstance(model, TrainedGenerator):
            candidates[name] = CheckpointCandidate.create(model, dataset, pairs.faces, cache, listener)
        else:
            latents = read_latents(dataset, pairs.faces, model.embedder, cache, listener)
            candidates[name] = OnnxCandidate(model, latents, pairs.faces, pairs.template)
    if planned.request.protocol is not None:
        candidates |= {blend_name(alpha): Blend(pairs.faces, pairs.size, alpha) for alpha in ALPHAS}
    return candidates


def _common_template(models: Mapping[str, TrainedGenerator], files: Mapping[str, Path]) -> str | None:
    """The template of all checkpoints; None where there is none."""
    templates = {model.recipe.template: files[name] for name, model in models.items()}
    if len(templates) > 1:
        crops = " and ".join(f"{path} takes crops of {template}" for template, path in templates.items())
        raise CheckpointError(f"{crops}: give checkpoints of one template, which can be judged on the same crops")
    return next(iter(templates), None)


def _is_held_out(model: Model, pairs: PairSet) -> bool | None:
    """Whether the recipe of a checkpoint holds out all swapped people, or all photos in pairs; None for ONNX."""
    if not isinstance(model, TrainedGenerator):
        return None
    rows = _swapped(pairs)
    recipe, names = model.recipe, set(parse_people(model.recipe.people))
    if names:
        photos = pairs.faces.held_out(0, recipe.held_out_photos)[rows]
        named = np.array([pairs.faces.people[person] in names for person in pairs.faces.person[rows]])
        return bool((photos | ~named).all())
    return all(
        is_held_out(pairs.faces.people[person], recipe.held_out) for person in np.unique(pairs.faces.person[rows])
    )


def _swapped(pairs: PairSet) -> Indices:
    """Rows of the faces that are targets or sources."""
    rows = np.concatenate([part.ravel() for kind in pairs.all for part in (kind.targets, kind.sources)])
    return np.unique(rows[rows >= 0])


def _protocol_note(path: Path, pairs: PairSet, held_out: Mapping[str, bool | None]) -> str:
    rows = _swapped(pairs)
    people = len(np.unique(pairs.faces.person[rows]))
    note = f"{counted(len(pairs), 'pair')} of {path.name}: {counted(people, 'person')}, {counted(len(rows), 'photo')}"
    if trained := [name for name, value in held_out.items() if value is False]:
        note += f"; OPTIMISTIC for {', '.join(trained)}, whose recipe does not hold all of them out of its training"
    return note


def _judged_record(planned: JudgePlan) -> JudgedFacesRecord:
    pairs, rows = planned.pairs, _swapped(planned.pairs)
    person = pairs.faces.person
    return JudgedFacesRecord(
        people=len(np.unique(person[rows])),
        photos=len(rows),
        gallery_people=len(np.unique(person[pairs.gallery])),
        gallery_photos=len(pairs.gallery),
        held_out=False not in planned.held_out.values(),
        note=planned.note,
    )


def _data_record(planned: JudgePlan) -> DatasetRecord:
    request, protocol = planned.request, planned.request.protocol
    return DatasetRecord(
        path=str(request.data),
        policy_hash=planned.dataset.policy_hash(),
        template=planned.pairs.template,
        size=planned.pairs.size,
        protocol=None if protocol is None else protocol.name,
        protocol_sha256=None if protocol is None else file_sha256(protocol),
    )


def _record(planned: JudgePlan, name: str, candidate: Candidate) -> CandidateRecord:
    if name not in planned.models:
        return CandidateRecord("blend", "", "", None, planned.pairs.size, None, None, None)
    model, path = planned.models[name], str(planned.request.files[name])
    held_out, embedder_id = planned.held_out[name], model.embedder.embedder_id
    if isinstance(model, TrainedGenerator):
        facts = model.facts
        return CandidateRecord(
            "checkpoint", path, model.sha256, facts.images or None, model.size, embedder_id, facts.policy_hash, held_out
        )
    return CandidateRecord("onnx", path, model.sha256, None, model.size, embedder_id, None, held_out)


def _plot_title(summary: JudgeSummary) -> str:
    judged = summary.judged
    return (
        f"Top-1 by {summary.first_judge} among {judged.gallery_people:,} people, {summary.pairs['cross']:,} swaps of "
        f"{judged.people:,} people"
    )
