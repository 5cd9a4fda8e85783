"""Ctrl-C before a program handles signals. Imports built-in modules only."""

# The module `signal` imports `enum`, which takes milliseconds in which Ctrl-C would print a traceback.
from _signal import SIG_DFL, SIGINT, signal  # type: ignore[import-not-found]


def end_without_traceback() -> None:
    """Let Ctrl-C end the process by the signal, without a traceback, until `curate.program.run` handles it."""
    signal(SIGINT, SIG_DFL)
