"""How the programs end: one line and an exit code."""

import subprocess
import sys

import pytest
import torch

from curate.cli import EXIT_CODES
from curate.errors import SwapsetError
from curate.program import INTERRUPTED, OUT_OF_MEMORY, run


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB. GPU 0 ..."), MemoryError("no room")]
)
def test_running_out_of_memory_is_one_line_with_advice(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def app() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(app, "curate", "stopped", "Take fewer --workers.")
    assert ended.value.code == OUT_OF_MEMORY
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert stderr.endswith("Take fewer --workers.\n")
    assert stderr.startswith(
        "curate: memory ran out (CUDA out of memory)" if "CUDA" in str(error) else "curate: memory"
    )


def test_unexpected_errors_are_not_hidden() -> None:
    def app() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(app, "curate", "stopped", "")


def test_a_closed_pipe_is_no_error() -> None:
    # In another process, because it closes the standard output.
    program = "from curate.program import run\ndef app(): raise BrokenPipeError\nrun(app, 'curate', '', '')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_exit_code_is_documented() -> None:
    def errors(kind: type[SwapsetError]) -> set[type[SwapsetError]]:
        return {kind}.union(*(errors(subclass) for subclass in kind.__subclasses__()))

    codes = {error.exit_code for error in errors(SwapsetError) if error.__module__.startswith(("curate", "manifests"))}
    assert {*codes, OUT_OF_MEMORY, INTERRUPTED} <= EXIT_CODES.keys()
