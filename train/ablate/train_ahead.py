"""Trains several arms of an ablation at a time, each in a process; the GPUs of the machine are given out in turn."""

from collections.abc import Sequence
from contextlib import suppress

import torch

from curate.engines.engine import Advance, Work
from curate.engines.local import LocalEngine
from curate.listener import Listener, progress
from curate.threads import default_threads
from train import fit
from train.errors import DivergedError
from train.interrupt import terminated_after_step
from train.loop import Interruptible, never_interrupted


def train_ahead(
    requests: Sequence[fit.FitRequest],
    jobs: int,
    device: str,
    listener: Listener,
    interruptible: Interruptible = never_interrupted,
) -> None:
    """Train each request, `jobs` at a time, so that `fit.run` finds its last checkpoint.

    A training that diverges, or runs out of the device's memory beside the others, stops without an error: `fit.run`
    continues it alone later, and reports the error if it occurs again. Stopped by `interruptible` or by an exception in
    the calling process, each finishes its current step and writes a checkpoint of it.

    Args:
        requests: trainings into different folders.
        jobs: processes.
        device: of all of them; "cuda" stands for all GPUs of the machine, "cuda:1" for one.
        listener: receives the number of images that were trained on.
        interruptible: of all trainings; where it stops, it raises an exception when its block ends.

    Raises:
        WorkerDied: a process was killed three times, most often for lack of memory.
        SwapsetError: as `fit.plan` and `fit.run`.
    """
    engine = LocalEngine(min(jobs, len(requests)), default_threads(jobs), gpus=int(device == "cuda"))
    images = sum(request.recipe.images for request in requests)
    title = f"training {len(requests)} arms, {jobs} at a time"
    with (
        interruptible() as interrupted,
        suppress(_Stopped),
        progress(listener, title, images, "images") as advance,
    ):

        def report(count: int) -> None:
            advance(count)
            if interrupted():
                raise _Stopped

        engine.run(requests, _start_worker, report)


class _Stopped(Exception):
    """Ends the run of the engine, which then ends its workers."""


class _Images:
    """A `Listener` that reports the images of a training, and no other steps, to an engine."""

    def __init__(self, report: Advance) -> None:
        self.report = report
        self.counts = False  # whether the current step counts images

    def start(self, step: str, total: int | None, unit: str = "photos", done: int = 0) -> None:
        self.counts = unit == "images"
        if self.counts:
            self.report(done)

    def advance(self, count: int = 1) -> None:
        if self.counts:
            self.report(count)

    def finish(self) -> None: ...
    def note(self, message: str) -> None: ...


def _train(request: fit.FitRequest, report: Advance) -> None:
    with suppress(DivergedError, torch.OutOfMemoryError):
        fit.run(fit.plan(request), _Images(report), interruptible=terminated_after_step)


def _start_worker() -> Work[fit.FitRequest]:
    return _train
