"""Deferred signals: a long operation asks between two steps whether to stop, and finishes its current step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from curate.program import SIGNALS


class DeferredInterrupt:
    """Called, returns whether a signal was received. number: of the first signal."""

    number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None


@contextmanager
def deferred_interrupt(warn: Callable[[], None]) -> Iterator[DeferredInterrupt]:
    """Context manager: yield whether Ctrl-C was pressed, or SIGTERM received.

    The first signal calls `warn`; another one has the effect that it had before.
    """
    interrupt = DeferredInterrupt()
    previous = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: object) -> None:
        interrupt.number = number
        restore()
        warn()

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield interrupt
    finally:
        restore()
