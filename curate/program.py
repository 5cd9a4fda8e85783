"""How the command line programs end: one line and an exit code, for errors and signals. Imports nothing heavy.

Ctrl-C (SIGINT) and SIGTERM raise `Interrupted` in the main thread, so that files and worker processes are cleaned up.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from manifests.errors import OutputError, SwapsetError

INTERRUPTED = 130
OUT_OF_MEMORY = 9
SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that stop a program; its exit code is then 128 + the signal's number."""

_CLEAN_UP_SECONDS = 3.0
_RETRY_SECONDS = 0.05


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM. Not KeyboardInterrupt, which the command line library handles itself with another exit code.

    number: of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class Step:
    """A step of a program, and how far it is; `total` is None where it is unknown."""

    name: str
    unit: str
    total: int | None
    done: int = 0

    def __str__(self) -> str:
        count = f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"
        return f"{self.name} ({count} {self.unit})"


_steps: list[Step] = []
"""The steps that were begun and not completed."""


def begin_step(step: Step) -> None:
    """Record a step, which the message after a signal then names."""
    _steps[:] = [step]


def complete_step() -> None:
    """Remove the record."""
    _steps.clear()


def run(app: Callable[[], object], name: str, after_interrupt: str, after_out_of_memory: str) -> None:
    """Run a typer app as a program.

    Args:
        app: The app.
        name: The program's name, which begins every error message.
        after_interrupt: Printed after Ctrl-C and SIGTERM: what is kept, how to continue.
        after_out_of_memory: Printed when memory runs out: what to change.
    """
    received: list[int] = []

    def interrupt(number: int, _: object) -> NoReturn:
        received.append(number)
        raise Interrupted(number)

    def end(number: int) -> NoReturn:
        _ignore_signals()
        step = f" while {_steps[0]}" if _steps else ""
        print(f"{name}: stopped{step}. {after_interrupt}", file=sys.stderr)
        sys.exit(128 + number)

    def guarded() -> None:
        try:
            app()
        except Interrupted as error:
            end(error.number)
        except SwapsetError as error:
            # What a signal has caused (a worker that received it too, say) is no error; a failed write is.
            if received and not isinstance(error, OutputError):
                end(received[0])
            print(f"{name}: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            # The process that reads the output (`head`, say) has ended: no error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            if received:  # an import that was stopped halfway, say
                end(received[0])
            # torch.OutOfMemoryError is compared by name because torch is not imported here.
            if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
                raise
            print(f"{name}: memory ran out ({str(error).partition('. ')[0]}). {after_out_of_memory}", file=sys.stderr)
            sys.exit(OUT_OF_MEMORY)
        finally:
            _ignore_signals()

    for number in SIGNALS:
        signal.signal(number, interrupt)
    sys.unraisablehook = partial(_unraisable, received)
    try:
        guarded()
    except Interrupted as error:  # that arrived while the handlers were replaced at the end
        end(error.number)


def _ignore_signals() -> None:
    """Ignore further signals while the process ends; one that arrives when that takes long ends it at once."""
    began = time.monotonic()

    def ignore(number: int, _: object) -> None:
        if time.monotonic() - began > _CLEAN_UP_SECONDS:
            os._exit(128 + number)

    def handle(handler: Callable[[int, Any], None] | signal.Handlers) -> None:
        for number in SIGNALS:
            signal.signal(number, handler)

    handle(ignore)
    # The interpreter would restore the default of a handler, which ends the process with another exit code.
    atexit.register(handle, signal.SIG_IGN)


def _unraisable(received: Sequence[int], unraisable: Any) -> None:
    """Send a signal again whose exception was raised where none can be, in a destructor: it would have no effect.

    Other exceptions of destructors are printed, unless a signal was received: it leaves objects half made, such as a
    progress bar, whose destructors then fail.
    """
    if isinstance(unraisable.exc_value, Interrupted):
        timer = threading.Timer(_RETRY_SECONDS, os.kill, (os.getpid(), unraisable.exc_value.number))
        timer.daemon = True
        timer.start()
    elif not received:
        sys.__unraisablehook__(unraisable)
