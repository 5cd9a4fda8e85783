"""The engine `local`: worker processes of this machine."""

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Any

from curate.engines.engine import Advance, Task, Work, WorkerDied
from curate.program import SIGNALS

_POLL_SECONDS = 0.2
_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Plain fork is unsafe: the calling process may have threads by the time its workers start."""


def warm_up(modules: Sequence[str]) -> None:
    """Start importing `modules` in the background, in the process that the workers of later runs are forked from.

    The workers then share one import that overlaps with the imports of the calling process. Without it each worker
    imports them again. Has no effect where processes cannot be forked.
    """
    if _START_METHOD == "forkserver":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(modules))
        with signals_deferred():
            multiprocessing.forkserver.ensure_running()


class LocalEngine:
    """Runs tasks in `workers` processes of `threads` threads each; with one worker, in the calling process."""

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = workers
        self.threads = threads

    def run(self, tasks: Sequence[Task], setup: Callable[[], Work[Task]], advance: Advance) -> None:
        """Complete every task; see `curate.engines.engine.Engine.run`."""
        if not tasks:
            return
        if self.workers == 1:
            _set_threads(self.threads)
            work = setup()
            for task in tasks:
                work(task, advance)
            return
        context = multiprocessing.get_context(_START_METHOD)
        counter = context.Value("q", 0)
        pool = ProcessPoolExecutor(
            min(self.workers, len(tasks)), context, _start_worker, (setup, counter, self.threads)
        )
        try:
            with signals_deferred():
                pending = {pool.submit(_run_task, task) for task in tasks}
            _wait_for_all(pending, counter, advance)
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a worker process was killed, most likely for lack of memory; finished shards are kept: "
                "run the same command again with fewer --workers"
            ) from error
        finally:
            # A second Ctrl-C here would leave the workers to finish all tasks before the program could end.
            with signals_deferred():
                for process in list((pool._processes or {}).values()):
                    process.terminate()
                pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Context manager: Ctrl-C and SIGTERM take effect when the block ends; processes started in it ignore Ctrl-C.

    Ctrl-C reaches the whole process group, and a process that is still importing would print a traceback; so would a
    worker that is terminated while it starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Started by the first other process, it would unblock the signal before that one begins.
    multiprocessing.resource_tracker.ensure_running()
    received: list[int] = []

    def defer(number: int, _: object) -> None:
        received.append(number)

    # Blocking the signal is not enough: another thread receives it, and the main thread then runs the handler.
    handlers = {number: signal.signal(number, defer) for number in SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # new processes inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


def _wait_for_all(pending: set[Future[None]], counter: Any, advance: Advance) -> None:
    """Wait for the tasks, report the workers' shared counter, raise the first exception."""
    reported = 0
    while pending:
        finished, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
        count = counter.value
        advance(count - reported)
        reported = count
        for future in finished:
            future.result()
    advance(counter.value - reported)


# State of a worker process.
_work: Work[Any] | None = None
_counter: Any = None
_setup_error: Exception | None = None


def _start_worker(setup: Callable[[], Work[Any]], counter: Any, threads: int) -> None:
    global _work, _counter, _setup_error
    # Ctrl-C reaches the whole process group; the calling process alone handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # The workers of a process that was killed with SIGKILL would otherwise go on writing into the output.
        threading.Thread(target=lambda: (wait_for([parent.sentinel]), os._exit(1)), daemon=True).start()
    _set_threads(threads)
    _counter = counter
    try:
        _work = setup()
    except Exception as error:  # noqa: BLE001
        # Raised here, it would be reported as a worker that was killed; it is raised with the first task instead.
        _setup_error = error


def _run_task(task: Any) -> None:
    if _setup_error is not None:
        raise _setup_error
    assert _work is not None

    def advance(count: int) -> None:
        with _counter.get_lock():
            _counter.value += count

    _work(task, advance)


def _set_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
