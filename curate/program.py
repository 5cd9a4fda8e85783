"""How the command line programs end: an error becomes one line on stderr and an exit code. Imports nothing heavy."""

import os
import signal
import sys
from collections.abc import Callable

from manifests.errors import SwapsetError

INTERRUPTED = 130
OUT_OF_MEMORY = 9


class Interrupted(BaseException):
    """Ctrl-C. Not KeyboardInterrupt, which the command line library handles itself with another exit code."""


def run(app: Callable[[], object], name: str, after_interrupt: str, after_out_of_memory: str) -> None:
    """Run a typer app as a program.

    Args:
        app: The app.
        name: The program's name, which begins every error message.
        after_interrupt: Printed after Ctrl-C: what is kept, how to continue.
        after_out_of_memory: Printed when memory runs out: what to change.
    """
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except SwapsetError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The process that reads the output (`head`, say) has ended: no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # torch.OutOfMemoryError is compared by name because torch is not imported here.
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        print(f"{name}: memory ran out ({str(error).partition('. ')[0]}). {after_out_of_memory}", file=sys.stderr)
        sys.exit(OUT_OF_MEMORY)
    except Interrupted:
        print(f"{name}: stopped. {after_interrupt}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted
