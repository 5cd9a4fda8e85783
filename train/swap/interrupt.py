"""Deferred Ctrl-C: a long operation asks between two steps whether to stop, and finishes its current step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt(warn: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Context manager: yield a function that returns whether Ctrl-C was pressed.

    The first Ctrl-C calls `warn`; a second one raises KeyboardInterrupt.
    """
    interrupted = False
    previous = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, previous)
        warn()

    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
