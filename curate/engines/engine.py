"""The interface of an engine and of the tasks that it runs."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from curate.errors import SwapsetError

Task = TypeVar("Task")

Advance = Callable[[int], None]
"""Called with the number of items (photos, say) that were finished since the last call."""

Work = Callable[[Task, Advance], None]
"""Completes one task and reports its progress.

A task writes each result under its final name only when it is whole (`manifests.output.atomic`), so that a killed
task leaves no partial result and may be run again from the start, on any worker.
"""

MAX_CRASHES = 3
"""Worker processes that may die during one task."""


class Engine(Protocol):
    """Runs tasks on some number of workers."""

    def run(
        self,
        tasks: Sequence[Task],
        setup: Callable[[], Work[Task]],
        advance: Advance,
        after_crash: Callable[[Task], Task] | None = None,
    ) -> None:
        """Complete every task; return when all are done.

        Args:
            tasks: Picklable; independent of one another and run in any order. No tasks: `setup` is not called.
            setup: Picklable; called once in each worker, it loads what the tasks need (networks, say) and returns the
                function that does one task.
            advance: Called in the calling process with the items that the workers have finished; with a negative
                number where a task is begun again.
            after_crash: Returns the task that is run instead of one during which a worker process died: the same work,
                more carefully. None: the same task.

        Raises the first exception of a task or of `setup`; other tasks are then abandoned, while what they have
        finished stays. A worker process that ends without an exception is
        replaced, and the tasks that were running are run again; raises WorkerDied where a task sees MAX_CRASHES of
        them, or where a process ends before its first task. After KeyboardInterrupt or
        another exception in the calling process no worker is left running.
        """


class EngineError(SwapsetError):
    """The engine is not installed, or its cluster cannot be reached or has no room for a worker."""

    exit_code = 20


class WorkerDied(SwapsetError):
    """A worker process was killed from outside, most often for lack of memory."""

    exit_code = 9
