"""The engine `local`: worker processes of this machine."""

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from typing import Any, cast

from curate.engines.engine import MAX_CRASHES, Advance, Task, Work, WorkerDied
from curate.program import SIGNALS

_POLL_SECONDS = 0.2
_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Plain fork is unsafe: the calling process may have threads by the time its workers start."""
_VISIBLE = "CUDA_VISIBLE_DEVICES"


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
    """Runs tasks in `workers` processes of `threads` threads each; with one worker, in the calling process.

    `gpus`: 0, or more where each process uses the device "cuda": the GPUs of the machine are given out in turn, and
    workers share them, however many there are.
    """

    def __init__(self, workers: int, threads: int, gpus: float = 0) -> None:
        self.workers = workers
        self.threads = threads
        self.gpus = gpus

    def run(
        self,
        tasks: Sequence[Task],
        setup: Callable[[], Work[Task]],
        advance: Advance,
        after_crash: Callable[[Task], Task] | None = None,
    ) -> None:
        """Complete every task; see `curate.engines.engine.Engine.run`. With one worker a crash ends this process."""
        if not tasks:
            return
        if self.workers == 1:
            set_threads(self.threads)
            work = setup()
            for task in tasks:
                work(task, advance)
            return
        todo, crashes = dict(enumerate(tasks)), Counter[int]()
        while todo:
            running = self._run_pool(todo, setup, advance)
            crashes.update(running)
            if todo and (not running or max(crashes.values()) >= MAX_CRASHES):
                raise WorkerDied(
                    "a worker process was killed, most likely for lack of memory; finished shards are kept: "
                    "run the same command again with fewer --workers"
                )
            for number in running:
                todo[number] = after_crash(todo[number]) if after_crash else todo[number]

    def _run_pool(self, todo: dict[int, Task], setup: Callable[[], Work[Task]], advance: Advance) -> list[int]:
        """Run tasks, and remove from `todo` those that are done, all unless a worker dies; return those that ran then.

        Raises the first exception of a task.
        """
        context = multiprocessing.get_context(_START_METHOD)
        workers = min(self.workers, len(todo))
        state = _State(context.Value("q", 0), context.Value("q", 0), context.RawArray("q", [-1] * workers))
        gpus = visible_gpus() if self.gpus else []
        pool = ProcessPoolExecutor(workers, context, _start_worker, (setup, state, self.threads, gpus))
        try:
            with signals_deferred():
                pending = {pool.submit(_run_task, number, task): number for number, task in todo.items()}
            if _wait_for_all(pending, todo, state, advance):
                return []
            return [number for number in state.running if number in todo]
        finally:
            # A second Ctrl-C here would leave the workers to finish all tasks before the program could end.
            with signals_deferred() as interrupted_again:
                processes = list((pool._processes or {}).values())
                for process in processes:
                    process.terminate()
                pool.shutdown(wait=False, cancel_futures=True)
                # A task may complete something before its worker ends (train/ablate/train_ahead.py).
                running = {process.sentinel: process for process in processes}
                while running:
                    for sentinel in wait_for(list(running), _POLL_SECONDS):
                        del running[cast(int, sentinel)]
                    for process in running.values() if interrupted_again() else ():
                        process.kill()


@contextmanager
def signals_deferred() -> Iterator[Callable[[], bool]]:
    """Context manager: Ctrl-C and SIGTERM take effect when the block ends; processes started in it ignore Ctrl-C.

    Yields a function that returns whether one was received so far.

    Ctrl-C reaches the whole process group, and a process that is still importing would print a traceback; so would a
    worker that is terminated while it starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
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
        yield lambda: bool(received or signal.sigpending() & {*SIGNALS})
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


@dataclass(frozen=True)
class _State:
    """Memory that the workers share with the calling process.

    Attributes:
        items: Number of items that are finished.
        started: Number of workers that have started.
        running: The number of the task that each worker runs, -1 for none.
    """

    items: Any
    started: Any
    running: Any


def _wait_for_all(pending: dict[Future[int], int], todo: dict[int, Task], state: _State, advance: Advance) -> bool:
    """Wait for the tasks, report the items, raise the first exception; return False where a worker has died.

    Tasks that are done are removed from `todo`; items of others that a dead worker had finished are taken back.
    """
    reported = done = 0
    try:
        while pending:
            finished, _ = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
            count = state.items.get_obj().value  # a dead worker may hold its lock
            advance(count - reported)
            reported = count
            # Those that are done come first: a dead worker ends all others with an exception.
            for future in sorted(finished, key=lambda future: future.exception() is not None):
                done += future.result()
                del todo[pending.pop(future)]
    except BrokenProcessPool:
        advance(done - reported)
        return False
    advance(state.items.get_obj().value - reported)
    return True


# State of a worker process.
_work: Work[Any] | None = None
_state: _State | None = None
_number = 0
_setup_error: Exception | None = None


def _start_worker(setup: Callable[[], Work[Any]], state: _State, threads: int, gpus: list[str]) -> None:
    global _work, _state, _number, _setup_error
    # Ctrl-C reaches the whole process group; the calling process alone handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # The workers of a process that was killed with SIGKILL would otherwise go on writing into the output.
        threading.Thread(target=lambda: (wait_for([parent.sentinel]), os._exit(1)), daemon=True).start()
    set_threads(threads)
    _state = state
    with state.started.get_lock():
        _number = state.started.value
        state.started.value += 1
    if gpus:  # as on Ray: "cuda" is then the GPU of this worker in all of its threads
        os.environ[_VISIBLE] = gpu_of_worker(_number, gpus)
    try:
        _work = setup()
    except Exception as error:  # noqa: BLE001
        # Raised here, it would be reported as a worker that was killed; it is raised with the first task instead.
        _setup_error = error


def _run_task(number: int, task: Any) -> int:
    """Run a task; return the number of its items."""
    if _setup_error is not None:
        raise _setup_error
    assert _work is not None
    assert _state is not None
    state, items = _state, 0

    def advance(count: int) -> None:
        nonlocal items
        items += count
        with state.items.get_lock():
            state.items.value += count

    state.running[_number] = number
    _work(task, advance)
    state.running[_number] = -1
    return items


def set_threads(threads: int) -> None:
    """Limit torch and OpenCV to this number of threads."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(_VISIBLE)
    return [name.strip() for name in named.split(",")[:count]] if named else [str(k) for k in range(count)]


def gpu_of_worker(worker: int, gpus: Sequence[str]) -> str:
    """Return the GPU of a worker, counted from 0: in turn, so that no GPU has two workers more than another."""
    return gpus[worker % len(gpus)]
