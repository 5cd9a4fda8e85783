"""The loop around the steps of a training: log, sample grids and checkpoints."""

import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from curate.durations import format_duration
from curate.listener import Listener
from train.checkpoint import CheckpointWriter, RunFacts
from train.data.loader import Batch, PairLoader
from train.journal import Journal
from train.training import Training

Interruptible = Callable[[], AbstractContextManager[Callable[[], bool]]]
"""Returns a context manager, entered while steps are taken, that yields whether to stop after the current step."""


def never_interrupted() -> AbstractContextManager[Callable[[], bool]]:
    """The `Interruptible` of a training that is not to stop early."""
    return nullcontext(lambda: False)


_ESTIMATE_AFTER = 5.0
"""Seconds after which the first finished step is the base of an estimate of the whole time."""


@dataclass(frozen=True)
class LogLine:
    """One line of the log.

    Attributes:
        images: trained on so far.
        total: images of the recipe.
        images_per_second: since the last line.
        memory_bytes: maximum so far, allocated on the GPU or resident in the process.
        losses: means since the last line, by name.
    """

    images: int
    total: int
    images_per_second: float
    memory_bytes: int
    losses: dict[str, float]

    def __str__(self) -> str:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
        share, memory = self.images / self.total, self.memory_bytes / 2**30
        speed = f"{self.images_per_second:7.1f} images/s"
        return f"{self.images:>10,} images {share:>4.0%}  {speed}  {memory:.1f} GiB  {losses}"


def run_loop(
    training: Training,
    loader: PairLoader,
    samples: Batch,
    facts: RunFacts,
    listener: Listener,
    interruptible: Interruptible = never_interrupted,
) -> None:
    """Train up to the recipe's images; the first process writes log, sample grids and checkpoints to `training.out`.

    Args:
        training, loader: what is trained, and on what.
        samples: the pairs of the sample grids, with source photos.
        facts: recorded in checkpoints.
        listener: receives each log line as a note.
        interruptible: of this process. Where it stops, all processes stop after the same step, with a checkpoint of it.
    """
    with interruptible() as interrupted:

        def stop() -> bool:
            return bool(training.processes.maximum(interrupted()))

        if not training.processes.first:
            _train(training, loader, stop)
            return
        listener.start("training", training.recipe.images, "images", training.images)
        try:
            _train_and_record(training, loader, samples, facts, listener, stop)
        finally:
            listener.finish()


def _train_and_record(
    training: Training,
    loader: PairLoader,
    samples: Batch,
    facts: RunFacts,
    listener: Listener,
    interrupted: Callable[[], bool],
) -> None:
    recipe, out = training.recipe, training.out
    journal = Journal(out, training.images)
    writer = CheckpointWriter(out / "checkpoints", recipe.checkpoints)
    next_save = _next_multiple(training.images, recipe.checkpoint_images)
    next_grid = _next_multiple(training.images, recipe.sample_images)
    steps = training.images // recipe.batch  # a resumed training has its log lines where an undisturbed one has them
    images_before, time_before = training.images, time.monotonic()
    stop = False
    estimated = False
    try:
        while not (training.finished or stop):
            training.step(loader)
            listener.advance(recipe.batch)
            steps += 1
            stop = interrupted()
            elapsed = time.monotonic() - time_before
            if not estimated and elapsed > _ESTIMATE_AFTER:
                listener.note(_estimate(training.images - images_before, elapsed, recipe.images - training.images))
                estimated = True
            # Checkpoints are written only where a log line is, so that a resume splits no mean.
            if steps % recipe.log_steps and not (training.finished or stop):
                continue
            losses = training.losses.means()
            rate = (training.images - images_before) / (time.monotonic() - time_before)
            line = LogLine(training.images, recipe.images, rate, _max_memory(training.device), losses)
            row = {"images": line.images, **losses, "images_per_second": rate, "memory_bytes": line.memory_bytes}
            journal.line({**row, "alpha": training.mask_weight})
            listener.note(str(line))
            if training.images >= next_grid or training.finished:
                journal.grid(training.images, sample_grid(samples, training.samples(samples)))
                next_grid = _next_multiple(training.images, recipe.sample_images)
            if training.images >= next_save or training.finished or stop:
                writer.write(training.save(facts, loader.state_dict()))
                next_save = _next_multiple(training.images, recipe.checkpoint_images)
            images_before, time_before = training.images, time.monotonic()
    finally:
        # Also after Ctrl-C: queued checkpoints reach the disk.
        writer.close()
        journal.close()


def _train(training: Training, loader: PairLoader, interrupted: Callable[[], bool]) -> None:
    """The same steps without any output, for the processes after the first."""
    steps, stop = 0, False
    while not (training.finished or stop):
        training.step(loader)
        steps += 1
        stop = interrupted()
        if steps % training.recipe.log_steps == 0 or training.finished:
            training.losses.means()


def sample_grid(batch: Batch, swapped: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Target, source and swap of each pair side by side: uint8 RGB (B S, 3 S, 3). swapped: (B, S, S, 3)."""
    assert batch.source is not None
    columns = [batch.target.permute(0, 2, 3, 1).numpy(), batch.source.permute(0, 2, 3, 1).numpy(), swapped]
    return np.concatenate([np.concatenate(list(column)) for column in columns], 1)


def _estimate(done: int, seconds: float, remaining: int) -> str:
    """The time that is left at the speed of the first images, as a line."""
    left = format_duration(seconds / done * remaining)
    return f"at the speed of the first {done:,} images, the remaining {remaining:,} take {left}"


def _next_multiple(images: int, every: int) -> int:
    return (images // every + 1) * every


def _max_memory(device: torch.device) -> int:
    """Maximum bytes so far: allocated on the GPU, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
