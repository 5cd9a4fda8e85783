"""How the programs end: one line and an exit code."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch

import curate.commands.progress
import curate.program
from curate.cli import EXIT_CODES
from curate.commands.progress import ProgressBar
from curate.errors import SwapsetError
from curate.program import INTERRUPTED, OUT_OF_MEMORY, SIGNALS, Interrupted, run


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Restore what a program that runs in this process changes."""
    handlers, hook = {number: signal.getsignal(number) for number in SIGNALS}, sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in handlers.items():
        signal.signal(number, handler)


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


def stop(program: str, *numbers: signal.Signals, seconds: float = 0.0) -> tuple[int, str]:
    """Run a program that prints "ready" and waits, send its process group these signals; its exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for number in numbers:
        os.killpg(process.pid, number)
        time.sleep(seconds)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


STOPPED = "curate: stopped. Kept.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "app",
    [
        "print('ready', flush=True); time.sleep(60)",
        # Raised in a destructor, an exception has no effect.
        "X = type('X', (), {'__del__': lambda x: (print('ready', flush=True), time.sleep(60))}); X(); time.sleep(60)",
        # An object that is half made, and whose destructor fails.
        "\n class X:\n  def __init__(x): print('ready', flush=True); time.sleep(60)\n  def __del__(x): x.missing\n X()",
        # As the import of a library that was stopped halfway.
        "\n try: print('ready', flush=True); time.sleep(60)\n except BaseException: raise ImportError('half')",
        # A clean-up that takes a moment, and a bare handler behind it.
        "\n try: print('ready', flush=True); time.sleep(60)\n finally: time.sleep(.2)",
    ],
)
def test_a_signal_is_one_line_and_an_exit_code(app: str, number: signal.Signals) -> None:
    program = f"import time\nfrom curate.program import run\ndef app(): {app}\nrun(app, 'curate', 'Kept.', '')"
    assert stop(program, number) == (128 + number, STOPPED)
    assert stop(program, number, number, seconds=0.1) == (128 + number, STOPPED)


def test_a_signal_while_the_program_ends_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ignore, interrupts = curate.program._ignore_signals, [Interrupted(signal.SIGINT)]

    def interrupted_once() -> None:
        if interrupts:
            raise interrupts.pop()
        ignore()

    monkeypatch.setattr(curate.program, "_ignore_signals", interrupted_once)
    with pytest.raises(SystemExit) as ended:
        run(lambda: None, "curate", "Kept.", "")
    assert (ended.value.code, capsys.readouterr().err) == (130, STOPPED)


def test_a_signal_names_the_step_that_was_not_completed() -> None:
    program = (
        "import time\nfrom curate.program import run\nfrom curate.listener import progress\n"
        "from curate.commands.progress import ProgressBar\n"
        "def app():\n"
        "  with progress(ProgressBar(), 'listing', 1) as advance: pass\n"
        "  with progress(ProgressBar(), 'measuring', 2000) as advance:\n"
        "    advance(1500); print('ready', flush=True); time.sleep(60)\n"
        "run(app, 'curate', 'Kept.', '')"
    )
    expected = "curate: stopped while measuring (1,500 of 2,000 photos). Kept.\n"
    assert stop(program, signal.SIGINT) == (130, expected)


def test_ctrl_c_is_quiet_while_workers_start() -> None:
    program = (
        "import time\nfrom curate.program import run\nfrom curate.engines.local import warm_up\n"
        "def app(): warm_up(['torch']); time.sleep(WAIT); print('ready', flush=True); time.sleep(60)\n"
        "run(app, 'curate', 'Kept.', '')"
    )
    for wait in (0.0, 0.1, 0.3, 1.0):  # while the interpreter starts, while libraries are imported
        assert stop(program.replace("WAIT", str(wait)), signal.SIGINT) == (130, STOPPED)
    assert stop(program.replace("WAIT", "0.3"), signal.SIGTERM) == (143, STOPPED)


def test_every_exit_code_is_documented() -> None:
    def errors(kind: type[SwapsetError]) -> set[type[SwapsetError]]:
        return {kind}.union(*(errors(subclass) for subclass in kind.__subclasses__()))

    codes = {error.exit_code for error in errors(SwapsetError) if error.__module__.startswith(("curate", "manifests"))}
    assert {*codes, OUT_OF_MEMORY, INTERRUPTED} <= EXIT_CODES.keys()


def test_progress_in_a_log_is_whole_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(curate.commands.progress, "_LOG_SECONDS", 0.0)
    bar = ProgressBar()
    bar.start("measuring", 2)
    bar.advance()
    bar.note("half")
    bar.advance()
    bar.finish()
    captured = capsys.readouterr()
    lines = captured.err.split("\n")
    assert captured.out == "half\n"
    assert lines.pop() == ""
    assert all(line.startswith("measuring: ") and line == line.strip() for line in lines)
    assert "1/2" in captured.err
    assert "\r" not in captured.err
