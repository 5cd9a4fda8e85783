"""The engine `ray`: actors on every node of a Ray cluster. Needs `pip install 'swapset[ray]'`.

Every actor loads what the tasks need once, and takes one task at a time. A task whose actor or node dies is given to
another actor. RAY_ADDRESS names a running cluster; without it, one is started on this machine.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from curate.engines.engine import MAX_CRASHES, Advance, EngineError, Task, Work, WorkerDied
from curate.engines.local import set_threads
from curate.program import SIGNALS, Interrupted

_POLL_SECONDS = 0.5
_TOP_UP_SECONDS = 10.0
_START_SECONDS = 900.0
"""How long the first actor may take to start: a cluster may have to start machines."""


class RayEngine:
    """Runs tasks in up to `workers` actors of `threads` CPUs and `gpus` GPUs; 0: as many as the cluster holds."""

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
        """Complete every task; see `curate.engines.engine.Engine.run`."""
        if not tasks:
            return
        try:
            import ray
        except ModuleNotFoundError as error:
            raise EngineError("--engine ray needs Ray: pip install 'swapset[ray]'") from error
        try:
            with _connected(ray):
                _Run(ray, self, setup, advance, after_crash).complete(dict(enumerate(tasks)))
        except KeyboardInterrupt as error:
            # Ray raises it instead of the exception of the handler of a signal.
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                raise
            raise Interrupted from error


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """Context manager: join the cluster of RAY_ADDRESS, or start one; leave it as it was found."""
    if ray.is_initialized():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        address = os.environ.get("RAY_ADDRESS", "a local cluster")
        raise EngineError(
            f"Ray cannot be reached at {address} ({str(error).splitlines()[0]}): start it, or set RAY_ADDRESS"
        ) from error
    finally:
        # Ray's handler of SIGTERM would end the process without cleaning up.
        for number, handler in handlers.items():
            with suppress(ValueError):  # not the main thread, in which handlers are not changed
                signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


class _Run:
    """The tasks of one run, and the actors that work on them."""

    def __init__(
        self,
        ray: Any,
        engine: RayEngine,
        setup: Callable[[], Work[Any]],
        advance: Advance,
        after_crash: Callable[[Any], Any] | None,
    ) -> None:
        self._ray, self._engine = ray, engine
        self._advance, self._after_crash = advance, after_crash
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self._progress = ray.remote(_Progress).options(num_cpus=0, scheduling_strategy=here).remote()
        self._actor = ray.remote(_Actor).options(num_cpus=engine.threads, num_gpus=engine.gpus, max_restarts=0)
        self._arguments = (setup, engine.threads, self._progress)
        self._starting: dict[Any, Any] = {}  # reference of `ready` -> actor
        self._running: dict[Any, tuple[Any, int, int]] = {}  # reference of `run` -> actor, task, attempt
        self._idle: list[Any] = []
        self._reported: Counter[int] = Counter()  # attempt -> items that were reported
        self._crashes: Counter[int] = Counter()  # task -> actors that died during it
        self._asked: Any = None  # reference of the counts that were asked for last
        self._attempts = 0

    def complete(self, todo: dict[int, Any]) -> None:
        """Complete the tasks, number -> task."""
        waiting = sorted(todo)
        began = topped_up = time.monotonic()
        self._top_up(len(waiting))
        try:
            while waiting or self._running:
                while waiting and self._idle:
                    number, actor = waiting.pop(0), self._idle.pop()
                    reference = actor.run.remote(self._attempts, todo[number])
                    self._running[reference] = actor, number, self._attempts
                    self._attempts += 1
                for reference in self._finished():
                    failed = self._settle(reference)
                    if failed is not None:
                        waiting.insert(0, failed)
                        todo[failed] = self._after_crash(todo[failed]) if self._after_crash else todo[failed]
                self._report()
                if self._running or self._idle:
                    began = time.monotonic()
                elif time.monotonic() - began > _START_SECONDS:
                    raise EngineError(
                        f"no worker of {self._engine.threads} CPUs and {self._engine.gpus:g} GPUs has started in "
                        f"{_START_SECONDS / 60:.0f} minutes: give the cluster such a node, or use fewer --workers"
                    )
                if time.monotonic() - topped_up > _TOP_UP_SECONDS:  # nodes may have joined, or have been lost
                    topped_up = time.monotonic()
                    self._top_up(len(waiting) + len(self._running))
            self._asked = None  # it may have been asked before the last task was complete
            self._report()
        finally:
            actors = [*self._idle, *self._starting.values(), *(actor for actor, *_ in self._running.values())]
            for actor in (*actors, self._progress):
                with suppress(Exception):  # it may have died, or the cluster with it
                    self._ray.kill(actor)

    def _top_up(self, tasks: int) -> None:
        """Start actors until there are as many as the tasks need and the cluster holds."""
        present = len(self._idle) + len(self._starting) + len(self._running)
        for _ in range(min(tasks, self._capacity()) - present):
            actor = self._actor.remote(*self._arguments)
            self._starting[actor.ready.remote()] = actor

    def _capacity(self) -> int:
        """Number of actors that the living nodes hold."""
        if self._engine.workers:
            return self._engine.workers
        resources = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        held = [
            min(
                int(node.get("CPU", 0) // self._engine.threads),
                int(node.get("GPU", 0) // self._engine.gpus) if self._engine.gpus else 1 << 30,
            )
            for node in resources
        ]
        return max(1, sum(held))

    def _finished(self) -> list[Any]:
        references = [*self._starting, *self._running]
        if not references:
            time.sleep(_POLL_SECONDS)
            return []
        finished, _ = self._ray.wait(references, num_returns=len(references), timeout=_POLL_SECONDS)
        return list(finished)

    def _settle(self, reference: Any) -> int | None:
        """Take the answer of an actor; return the number of its task where the actor died during it.

        Raises the error of a task or of the set-up.
        """
        starting = self._starting.pop(reference, None)
        actor, number, attempt = self._running.pop(reference, (starting, -1, -1))
        try:
            error = self._ray.get(reference)
        except self._ray.exceptions.RayError as died:
            self._advance(-self._reported.pop(attempt, 0))
            self._reported[attempt] = -1  # what it still reports no longer counts
            self._crashes[number] += 1
            if self._crashes[number] >= MAX_CRASHES:
                raise WorkerDied(
                    f"{MAX_CRASHES} workers died {'during one task' if number >= 0 else 'before their first task'} "
                    f"({str(died).splitlines()[0]}); finished shards are kept: run the same command again with fewer "
                    "--workers"
                ) from died
            return number if number >= 0 else None
        if error is not None:
            raise error
        self._idle.append(actor)
        return None

    def _report(self) -> None:
        """Report the items that were finished since the last call; a later call reports what is not known yet."""
        if self._asked is None:
            self._asked = self._progress.counts.remote()
        if not self._ray.wait([self._asked], timeout=_POLL_SECONDS)[0]:
            return  # a node that is lost may keep the answer away, and must not keep the tasks waiting
        counts, self._asked = self._ray.get(self._asked), None
        for attempt, count in counts.items():
            if self._reported[attempt] >= 0:
                self._advance(count - self._reported[attempt])
                self._reported[attempt] = count


class _Progress:
    """An actor on the node of the calling process that counts finished items by attempt."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, attempt: int, count: int) -> None:
        self._counts[attempt] += count

    def counts(self) -> dict[int, int]:
        return dict(self._counts)


class _Actor:
    """A worker. Errors are returned, because Ray would raise them as other types."""

    def __init__(self, setup: Callable[[], Work[Any]], threads: int, progress: Any) -> None:
        self._progress = progress
        self._work: Work[Any] | None = None
        self._error: Exception | None = None
        set_threads(threads)
        try:
            self._work = setup()
        except Exception as error:  # noqa: BLE001
            self._error = error

    def ready(self) -> Exception | None:
        """Return the error of the set-up."""
        return self._error

    def run(self, attempt: int, task: Any) -> Exception | None:
        """Complete a task; return its error."""
        import ray

        assert self._work is not None
        counted = []

        def advance(count: int) -> None:
            counted.append(self._progress.add.remote(attempt, count))

        try:
            self._work(task, advance)
        except Exception as error:  # noqa: BLE001
            return error
        ray.get(counted)  # no count of a finished task is missing
        return None
