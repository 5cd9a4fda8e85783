"""The loop around the steps of a training: log, sample grids and checkpoints."""

import resource
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from curate.listener import Listener
from train.checkpoint import CheckpointWriter, RunFacts
from train.data.loader import Batch, PairLoader
from train.journal import Journal
from train.training import Training


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


def run_loop(training: Training, loader: PairLoader, samples: Batch, facts: RunFacts, listener: Listener) -> None:
    """Train up to the recipe's images; the first process writes log, sample grids and checkpoints to `training.out`.

    Each log line is a note of the listener. samples: the pairs of the sample grids, with source photos.
    """
    if training.processes.first:
        listener.start("training", training.recipe.images, "images")
        listener.advance(training.images)
        try:
            _train_and_record(training, loader, samples, facts, listener)
        finally:
            listener.finish()
    else:
        _train(training, loader)


def _train_and_record(
    training: Training, loader: PairLoader, samples: Batch, facts: RunFacts, listener: Listener
) -> None:
    recipe, out = training.recipe, training.out
    journal = Journal(out, training.images)
    writer = CheckpointWriter(out / "checkpoints", recipe.checkpoints)
    next_save = _next_multiple(training.images, recipe.checkpoint_images)
    next_grid = _next_multiple(training.images, recipe.sample_images)
    steps, images_before, time_before = 0, training.images, time.monotonic()
    try:
        while not training.finished:
            training.step(loader)
            listener.advance(recipe.batch)
            steps += 1
            # Checkpoints are written only where a log line is, so that a resume splits no mean.
            if steps % recipe.log_steps and not training.finished:
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
            if training.images >= next_save or training.finished:
                writer.write(training.save(facts, loader.state_dict()))
                next_save = _next_multiple(training.images, recipe.checkpoint_images)
            images_before, time_before = training.images, time.monotonic()
    finally:
        # Also after Ctrl-C: queued checkpoints reach the disk.
        writer.close()
        journal.close()


def _train(training: Training, loader: PairLoader) -> None:
    """The same steps without any output, for the processes after the first."""
    steps = 0
    while not training.finished:
        training.step(loader)
        steps += 1
        if steps % training.recipe.log_steps == 0 or training.finished:
            training.losses.means()


def sample_grid(batch: Batch, swapped: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Target, source and swap of each pair side by side: uint8 RGB (B S, 3 S, 3). swapped: (B, S, S, 3)."""
    assert batch.source is not None
    columns = [batch.target.permute(0, 2, 3, 1).numpy(), batch.source.permute(0, 2, 3, 1).numpy(), swapped]
    return np.concatenate([np.concatenate(list(column)) for column in columns], 1)


def _next_multiple(images: int, every: int) -> int:
    return (images // every + 1) * every


def _max_memory(device: torch.device) -> int:
    """Maximum bytes so far: allocated on the GPU, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
