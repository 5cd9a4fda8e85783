"""`simswap ablate`: trains arms on the same images in the same order, as far as their data allow, and compares them.

All arms are judged on the same pairs of people that none was trained on. OUT holds views/ (the dataset decided by each
policy), arms/ (a run of `fit` each), results/ and pairs/ (finished arms), timings.json, and the tables
(train/ablate/table.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from curate.counts import counted
from curate.listener import SILENT, Listener
from curate.threads import default_threads
from manifests.errors import DatasetError
from manifests.output import OutputLock
from manifests.reader import Dataset
from train import fit
from train.ablate.arm_result import REVISION, AblationResult, ArmKey, FinishedArm, read_finished, write_finished
from train.ablate.arms import Arm
from train.ablate.timing import Timing, architecture, read_or_measure
from train.ablate.train_ahead import train_ahead
from train.ablate.train_arm import train_arm
from train.data.faces import TrainingFaces, read_training_faces
from train.errors import DivergedError
from train.judge.evaluate import require_outside
from train.judge.judge import JudgeEmbedder, choose_embedders, create_judge
from train.judge.pair_scores import PairScorer
from train.judge.pairs import JudgedFaces, PairSet, select_faces
from train.loop import Interruptible, never_interrupted


@dataclass(frozen=True)
class AblateRequest:
    """Trainings to compare.

    Attributes:
        out: Folder of the ablation.
        arms: The trainings, of one template. A and T are relative to the name of the first one.
        judged_on: Datasets or views; a photo is judged on only if all of them keep it.
        device: "cpu", "cuda", "cuda:1", ...
        judge: Name or file of the embedder that judges; see `train.judge.judge.choose_embedders`.
        pairs: Maximum number of pairs of each kind.
        workers: Decoding threads of a training; None divides the cores among those that run at a time, at most 16 each.
        jobs: Trainings at a time, each in a process; they share the cores and the device, or all GPUs for "cuda".
    """

    out: Path
    arms: Sequence[Arm]
    judged_on: Sequence[Path]
    device: str = "cpu"
    judge: str | None = None
    pairs: int = 500
    workers: int | None = None
    jobs: int = 1

    def fit_request(self, arm: Arm) -> fit.FitRequest:
        """The training of an arm."""
        return fit.FitRequest(
            data=arm.data,
            recipe=arm.recipe,
            out=self.out / "arms" / arm.slug,
            device=self.device,
            workers=self.workers or default_threads(self.jobs),
        )


@dataclass(frozen=True)
class AblatePlan:
    """A request that can be run.

    Attributes:
        request: The request.
        dataset: The first dataset of `judged_on`.
        faces: Faces that all of `judged_on` keep.
        judged: Those of people that are held out of all arms.
        pairs: The pairs that are swapped.
        judge: The embedder that judges.
        latent_dim: Dimension of the latents.
    """

    request: AblateRequest
    dataset: Dataset
    faces: TrainingFaces
    judged: JudgedFaces
    pairs: PairSet
    judge: JudgeEmbedder
    latent_dim: int


def plan(request: AblateRequest) -> AblatePlan:
    """Check everything that can be checked before anything is written.

    Raises:
        DatasetError: too few people to judge on, or as `fit.plan`.
        ModelError: the embedder of an arm, or the judge, is not on this machine.
        OutputError: `out` is inside a dataset.
    """
    for arm in request.arms:
        if not arm.data.is_relative_to(request.out):  # views of this ablation are
            require_outside(request.out, arm.data)
    dataset = Dataset.open(request.judged_on[0])
    faces, judged = _select_faces(request)
    size = max(arm.recipe.size for arm in request.arms)
    pairs = PairSet.sample(judged, request.arms[0].recipe.template, size, request.pairs)
    # One arm per embedder. Only the embedders are kept: a plan holds the arrays of all photos.
    arms = {(str(arm.data), arm.recipe.embedder): arm for arm in request.arms}
    embedders = [fit.plan(request.fit_request(arm)).embedder for arm in arms.values()]
    ids = {embedder.embedder_id for embedder in embedders}
    judge = choose_embedders(dataset, ids, [request.judge] if request.judge else [])[0]
    return AblatePlan(request, dataset, faces, judged, pairs, judge, embedders[0].dim)


def run(
    planned: AblatePlan, listener: Listener = SILENT, interruptible: Interruptible = never_interrupted
) -> AblationResult:
    """Train and score every arm that is not finished, and read those that are.

    An arm that diverges or runs out of GPU memory is recorded in `failed`; the others continue. The next run tries it
    again. Raises as `fit.plan` and `fit.run`.

    Args:
        planned: from `plan`.
        listener: receives the progress.
        interruptible: of the trainings (`train.interrupt.stop_after_step`); where it stops, each training writes a
            checkpoint of its current step, and it raises an exception when its block ends.
    """
    request = planned.request
    with OutputLock(request.out):
        cache = request.out / "latents"
        judge = create_judge(
            planned.judge, planned.dataset, planned.faces, planned.judged.faces, request.device, cache, listener
        )
        scorer = PairScorer(planned.pairs, [judge])
        listener.note(f"judged on {planned.judged.note}")
        listener.note(f"judge: {planned.judge}")
        timings = read_or_measure(
            request.out / "timings.json",
            [arm.recipe for arm in request.arms],
            planned.latent_dim,
            request.device,
            listener,
        )
        missing = [arm for arm in request.arms if _read(planned, arm)[1] is None] if request.jobs > 1 else []
        if len(missing) > 1:  # after the times are measured, which other trainings would disturb
            train_ahead(
                [request.fit_request(arm) for arm in missing], request.jobs, request.device, listener, interruptible
            )
        arms: list[FinishedArm] = []
        failed: dict[str, str] = {}
        for number, arm in enumerate(request.arms, 1):
            title = f"arm {number} of {len(request.arms)}: {arm.name}, seed {arm.recipe.seed}"
            try:
                timing = timings[architecture(arm.recipe)]
                arms.append(_finish_arm(planned, arm, scorer, timing, title, listener, interruptible))
            except (DivergedError, torch.OutOfMemoryError) as error:
                failed[arm.slug] = str(error).splitlines()[0]
                listener.note(f"{arm.slug} failed: {failed[arm.slug]}")
                torch.cuda.empty_cache()
    return AblationResult(arms, failed, str(planned.judge), planned.judged.note)


def _finish_arm(
    planned: AblatePlan,
    arm: Arm,
    scorer: PairScorer,
    timing: Timing,
    title: str,
    listener: Listener,
    interruptible: Interruptible,
) -> FinishedArm:
    """Read an arm that is finished, or train and score it and write its files."""
    training, finished, key = _read(planned, arm)
    if finished is not None:
        listener.note(f"{title}: already finished")
        return finished
    listener.note(title)
    out = planned.request.out
    finished = train_arm(arm, training, key, timing, planned.dataset, scorer, out, listener, interruptible)
    write_finished(out, arm, finished)
    return finished


def _read(planned: AblatePlan, arm: Arm) -> tuple[fit.FitPlan, FinishedArm | None, ArmKey]:
    """Plan the training of an arm, and read its result: None where there is none of the same training and judge."""
    request = planned.request
    training = fit.plan(request.fit_request(arm))
    key = ArmKey(
        revision=REVISION,
        recipe=arm.recipe.sha256(),
        data=training.photos.digest(),
        embedder=training.embedder.embedder_id,
        judge=planned.judge.embedder.embedder_id,
        judged=planned.judged.faces.digest(),
        pairs=len(planned.pairs.cross.targets),
    )
    return training, read_finished(request.out, arm, key), key


def _select_faces(request: AblateRequest) -> tuple[TrainingFaces, JudgedFaces]:
    """Faces that all of `judged_on` keep, and those of them to judge on. Raises DatasetError where they are too few."""
    template = request.arms[0].recipe.template
    faces = read_training_faces(Dataset.open(request.judged_on[0]), template)
    for path in request.judged_on[1:]:
        others = read_training_faces(Dataset.open(path), template).face_id
        rows = np.flatnonzero(np.isin(faces.face_id.astype(str), others.astype(str)))
        if not len(rows):
            raise DatasetError(
                f"{path}: no photo is kept by all policies, so that there is none to judge on: leave out the strictest "
                "policy"
            )
        faces = faces.take(rows)
    judged = select_faces(faces, [arm.recipe for arm in request.arms])
    if not judged.held_out:
        share = min(arm.recipe.held_out for arm in request.arms)
        raise DatasetError(
            f"{request.judged_on[0]}: of {counted(len(faces.people), 'person')} whom all policies keep, fewer than "
            f"two are held out by a share of {share:g}: raise --held-out, or leave out the strictest policy"
        )
    return faces, judged
