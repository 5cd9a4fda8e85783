"""Ctrl-C as a question that work asks when it suits: what is half done is finished, then the program ends."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def gently(warn: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether Ctrl-C was pressed; `warn` is called then. A second one stops at once."""
    asked = False
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        warn()

    signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
