"""The contract of an engine, for the local one with and without worker processes, and a toy engine."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from curate.engines import ENGINES, Engine, open_engine
from curate.engines.engine import Advance, Task, Work, WorkerDied
from curate.engines.local import gpu_of_worker, visible_gpus
from curate.errors import ModelError


class SerialEngine:
    """A toy engine: runs the tasks one after another in the calling process."""

    def __init__(self, workers: int, threads: int, gpus: int) -> None:
        self.workers = workers

    def run(
        self,
        tasks: Sequence[Task],
        setup: Callable[[], Work[Task]],
        advance: Advance,
        after_crash: Callable[[Task], Task] | None = None,
    ) -> None:
        work = setup() if tasks else None
        for task in tasks:
            assert work is not None
            work(task, advance)


@pytest.fixture(params=["local, 1 worker", "local, 2 workers", "toy"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setitem(ENGINES, "toy", SerialEngine)
    name, _, workers = request.param.partition(", ")
    return open_engine(name, int(workers[:1] or 1), threads=1)


def advance_by_task() -> Work[int]:
    return lambda task, advance: advance(task)


def fail_in_setup() -> Work[int]:
    raise ModelError("the weights are damaged")


def fail_in_second_task() -> Work[int]:
    def work(task: int, advance: Advance) -> None:
        if task == 2:
            raise ModelError("task 2 failed")

    return work


def test_every_task_is_completed_and_counted(engine: Engine) -> None:
    counts: list[int] = []
    engine.run([1, 2, 3], advance_by_task, counts.append)
    assert sum(counts) == 6


@pytest.mark.parametrize(
    ("setup", "message"), [(fail_in_setup, "the weights are damaged"), (fail_in_second_task, "task 2 failed")]
)
def test_the_error_of_a_worker_is_raised(engine: Engine, setup: Callable[[], Work[int]], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        engine.run([1, 2, 3], setup, lambda count: None)


def test_without_tasks_nothing_is_set_up(engine: Engine) -> None:
    engine.run([], fail_in_setup, lambda count: None)


def kill_the_worker() -> Work[int]:
    return lambda task, advance: os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_error() -> None:
    with pytest.raises(WorkerDied, match="run the same command again with fewer --workers"):
        open_engine("local", workers=2, threads=1).run([1, 2], kill_the_worker, lambda count: None)


def finish_when_terminated() -> Work[Path]:
    def work(task: Path, advance: Advance) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        advance(1)
        time.sleep(20 if task.name == "long" else 0.5)
        task.touch()

    return work


def test_workers_may_finish_when_the_run_is_stopped_until_a_signal_comes_again(tmp_path: Path) -> None:
    def stop(count: int) -> None:
        if count:
            raise ModelError("stopped")

    engine, short, long = open_engine("local", 2, threads=1), tmp_path / "short", tmp_path / "long"
    with pytest.raises(ModelError, match="stopped"):
        engine.run([short, short], finish_when_terminated, stop)
    assert short.exists()

    def stop_twice(count: int) -> None:
        if count:
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            raise ModelError("stopped")

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            engine.run([long, long], finish_when_terminated, stop_twice)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert not long.exists()


def kill_in_setup() -> Work[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_worker_that_dies_before_its_first_task_is_one_error() -> None:
    with pytest.raises(WorkerDied):
        open_engine("local", workers=2, threads=1).run([1, 2], kill_in_setup, lambda count: None)


def kill_by_negative_tasks() -> Work[int]:
    def work(task: int, advance: Advance) -> None:
        advance(1)
        if task < 0:
            os.kill(os.getpid(), signal.SIGSEGV)
        advance(abs(task) - 1)

    return work


def test_a_task_that_kills_its_worker_is_run_again_more_carefully() -> None:
    counts: list[int] = []
    engine = open_engine("local", workers=2, threads=1)
    engine.run([1, -2, 3, -4, 5], kill_by_negative_tasks, counts.append, abs)
    assert sum(counts) == 15


def test_an_unknown_engine() -> None:
    with pytest.raises(ValueError, match="no engine is called 'slurm'; choose local, ray"):
        open_engine("slurm", workers=1, threads=1)


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [(None, ["0", "1"]), ("2, 5,7", ["2", "5"]), ("GPU-5ebe9f43,GPU-ac33420d", ["GPU-5ebe9f43", "GPU-ac33420d"])],
)
def test_workers_take_the_visible_gpus_in_turn(
    visible: str | None, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == gpus
    assert [gpu_of_worker(worker, gpus) for worker in range(5)] == [*gpus, *gpus, gpus[0]]


def record_visible_gpus(folder: Path) -> Work[int]:
    (folder / str(os.getpid())).write_text(os.environ["CUDA_VISIBLE_DEVICES"])

    def wait_for_both_workers(task: int, advance: Advance) -> None:
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.01)

    return wait_for_both_workers


def test_each_worker_has_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    engine = open_engine("local", workers=2, threads=1, gpus=1)
    engine.run([1, 2], partial(record_visible_gpus, tmp_path), lambda count: None)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["4", "6"]
