"""How programs end: one line and an exit code, also where memory runs out or a worker cannot start."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from curate.engines.engine import Work
from curate.engines.local import LocalEngine
from curate.errors import ModelError
from curate.faces.models import check_device
from curate.program import OUT_OF_MEMORY, run


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB. GPU 0 ..."), MemoryError("no room")]
)
def test_too_little_memory_is_one_line_that_says_what_helps(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def app() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(app, "curate", "stopped", "Take fewer --workers.")
    assert ended.value.code == OUT_OF_MEMORY
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith("Take fewer --workers.\n")
    assert said.startswith("curate: memory ran out (CUDA out of memory)" if "CUDA" in str(error) else "curate: memory")


def test_other_errors_of_ours_are_not_hidden() -> None:
    def app() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(app, "curate", "stopped", "")


def test_a_reader_that_has_gone_is_no_error() -> None:
    # In a process of its own, whose standard output it takes away.
    program = "from curate.program import run\ndef app(): raise BrokenPipeError\nrun(app, 'curate', '', '')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def broken() -> Work[int]:
    raise ModelError("the weights are damaged")


def idle() -> Work[int]:
    return work


def work(task: int, tick: Callable[[int], None]) -> None:
    tick(task)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_cannot_begin_says_why(workers: int) -> None:
    with pytest.raises(ModelError, match="the weights are damaged"):
        LocalEngine(workers, 1).run([1, 2, 3], broken, lambda count: None)


def test_every_task_is_done_by_some_worker() -> None:
    done: list[int] = []
    LocalEngine(2, 1).run([1, 2, 3], idle, done.append)
    assert sum(done) == 6


@pytest.mark.parametrize("name", ["mps", "meta", "gpu", "cuda:99"])
def test_a_device_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"--device {name}: "):
        check_device(name)
