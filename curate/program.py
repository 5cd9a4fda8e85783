"""How a command line program of ours ends: errors become one line on stderr and an exit code. Imports nothing heavy."""

import os
import signal
import sys
from collections.abc import Callable

from manifests.errors import SwapsetError

INTERRUPTED = 130
OUT_OF_MEMORY = 9


class Interrupted(BaseException):
    """Ctrl-C, by a name of ours: the command line library would make its own exit of a KeyboardInterrupt."""


def run(app: Callable[[], object], name: str, stopped: str, smaller: str) -> None:
    """Runs a typer app as program `name`.

    `stopped` is what Ctrl-C says: what is kept, how to continue. `smaller`: what to do where memory does not suffice.
    """
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except SwapsetError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output (`head`) has gone; not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # torch.OutOfMemoryError by name: torch is not imported here.
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        print(f"{name}: memory ran out ({str(error).partition('. ')[0]}). {smaller}", file=sys.stderr)
        sys.exit(OUT_OF_MEMORY)
    except Interrupted:
        print(f"{name}: stopped. {stopped}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted
