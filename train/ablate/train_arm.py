"""Trains one arm of an ablation and scores its last checkpoint."""

from pathlib import Path

import numpy as np
import torch

from curate.listener import Listener, progress
from manifests.reader import Dataset
from train import complexity, fit
from train.ablate.arm_result import ArmKey, ArmResult, FinishedArm
from train.ablate.arms import Arm
from train.ablate.timing import Timing
from train.build import build_generator
from train.journal import read_log
from train.judge.candidate import CheckpointCandidate
from train.judge.judge import dataset_embedders
from train.judge.pair_scores import PairScorer
from train.judge.summary import summarise
from train.loop import Interruptible
from train.trained import load_trained


def train_arm(
    arm: Arm,
    planned: fit.FitPlan,
    key: ArmKey,
    timing: Timing,
    judged: Dataset,
    scorer: PairScorer,
    out: Path,
    listener: Listener,
    interruptible: Interruptible,
) -> FinishedArm:
    """Train an arm, or continue its training, and score its swaps.

    Args:
        arm: the arm.
        planned: its training.
        key: recorded in the result.
        timing: of its generator.
        judged: dataset of the faces that are swapped.
        scorer: swaps and scores.
        out: folder of the ablation.
        listener: receives the progress.
        interruptible: of the training; where it stops, it raises an exception when its block ends.

    Raises:
        DivergedError: a loss is no longer finite.
        torch.OutOfMemoryError: the GPU has too little memory.
        SwapsetError: as `fit.run`.
    """
    device = planned.request.device
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    checkpoint = fit.run(planned, listener, interruptible=interruptible)
    trained = load_trained(checkpoint, device, hints=dataset_embedders(planned.dataset))
    pairs = scorer.pairs
    candidate = CheckpointCandidate.create(trained, judged, pairs.faces, out / "latents", listener)
    try:
        with progress(listener, f"scoring {arm.slug}", len(pairs), "pairs") as advance:
            scores = scorer.score(candidate, advance).table
    finally:
        candidate.close()
    recipe, is_held_out = arm.recipe, planned.photos.held_out(arm.recipe.held_out)
    network = build_generator(recipe, planned.embedder.dim)
    generator = complexity.measure(network, (1, 3, recipe.size, recipe.size), (1, network.condition_dim))
    seconds, memory = _read_log(planned.request.out / "log.jsonl")
    images = trained.facts.images
    result = ArmResult(
        name=arm.name,
        seed=recipe.seed,
        key=key,
        images=images,
        photos=int((~is_held_out).sum()),
        people=len(np.unique(planned.photos.person[~is_held_out])),
        parameters=generator.parameters,
        macs=generator.macs,
        first_ms=timing.first,
        steady_ms=timing.steady,
        seconds=seconds,
        images_per_second=images / seconds,
        memory_bytes=memory if on_gpu else 0,
        checkpoint=str(checkpoint.relative_to(out)),
        metrics=summarise(scores),
    )
    return FinishedArm(result, scores)


def _read_log(path: Path) -> tuple[float, int]:
    """Seconds of the steps of a run and maximum bytes, from its log; steps that a kill undid are not counted twice."""
    seconds, memory, images_before = 0.0, 0, 0
    for _, row in read_log(path):
        seconds += (row["images"] - images_before) / row["images_per_second"]
        memory, images_before = max(memory, int(row["memory_bytes"])), int(row["images"])
    return seconds, memory
