"""Maps tasks over worker processes of this machine. Knows nothing of faces.

A second engine (Ray, Slurm, ...) fits beside this one: it needs `run(tasks, setup, done)` with the same contract.
"""

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Any, Generic, TypeVar

from curate.errors import SwapsetError

Task = TypeVar("Task")
Work = Callable[[Task, Callable[[int], None]], None]
"""Does one task whole, calling `tick(n)` after every n items. It must leave nothing behind when killed."""

_POLL_SECONDS = 0.2
_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Never plain fork: this process may have threads by the time its workers start."""


def warm_up(modules: Sequence[str]) -> None:
    """Begins to import `modules` beside this process, once for all workers that later runs fork from there.

    Seconds of imports are otherwise paid by each worker, and only when this process has done its own.
    """
    if _START_METHOD == "forkserver":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(modules))
        multiprocessing.forkserver.ensure_running()


class WorkerDied(SwapsetError):
    """A worker process was killed from outside, most often for want of memory."""

    exit_code = 9


class LocalEngine(Generic[Task]):
    """Runs tasks in `workers` processes, or in this one when `workers` is 1.

    `setup`: picklable; called once in each worker, it returns the function that does one task. Each worker runs its
    library code on `threads` threads. Results do not pass through the engine: a task writes its own files.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = workers
        self.threads = threads

    def run(self, tasks: Sequence[Task], setup: Callable[[], Work[Task]], tick: Callable[[int], None]) -> None:
        """Does every task; `tick(n)` is called as items are finished. The first error of a task is raised here."""
        if not tasks:
            return
        if self.workers == 1:
            _set_threads(self.threads)
            work = setup()
            for task in tasks:
                work(task, tick)
            return
        context = multiprocessing.get_context(_START_METHOD)
        counter = context.Value("q", 0)
        initial = (setup, counter, self.threads)
        pool = ProcessPoolExecutor(min(self.workers, len(tasks)), context, _start_worker, initial)
        try:
            with _uninterrupted():
                pending = {pool.submit(_do, task) for task in tasks}
            _drain(pending, counter, tick)
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a worker process was killed, most likely for want of memory; finished shards are kept: "
                "run the same command again with fewer --workers"
            ) from error
        finally:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the block is left: a worker that is stopped half started would say so at length."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, Any]] = []
    # Masking the signal would not do: another thread takes it, and this one then runs the handler.
    usual = signal.signal(signal.SIGINT, lambda *received: waiting.append(received))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if waiting and callable(usual):
        usual(*waiting[0])


def _drain(pending: set[Future[None]], counter: Any, tick: Callable[[int], None]) -> None:
    seen = 0
    while pending:
        finished, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
        now = counter.value
        tick(now - seen)
        seen = now
        for future in finished:
            future.result()
    tick(counter.value - seen)


_work: Work[Any] | None = None
_counter: Any = None
_failed: Exception | None = None


def _start_worker(setup: Callable[[], Work[Any]], counter: Any, threads: int) -> None:
    global _work, _counter, _failed
    # Ctrl-C reaches the whole process group; the parent alone decides what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A parent killed with -9 tells nobody: without this its workers would go on writing into OUT.
        threading.Thread(target=lambda: (wait_for([parent.sentinel]), os._exit(1)), daemon=True).start()
    _set_threads(threads)
    _counter = counter
    try:
        _work = setup()
    except Exception as error:  # noqa: BLE001
        # Raised here, it would be told as a worker that somebody killed; it is raised with the first task.
        _failed = error


def _do(task: Any) -> None:
    if _failed is not None:
        raise _failed
    assert _work is not None

    def tick(count: int) -> None:
        with _counter.get_lock():
            _counter.value += count

    _work(task, tick)


def _set_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
