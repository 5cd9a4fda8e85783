"""Deferred signals: a long operation asks between two steps whether to stop, and finishes its current step."""

import signal
from collections.abc import Callable, Iterator, Sequence
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
    with _handled(SIGNALS) as restore:
        interrupt = DeferredInterrupt()

        def handle(number: int, frame: object) -> None:
            interrupt.number = number
            restore()
            warn()

        for number in SIGNALS:
            signal.signal(number, handle)
        yield interrupt


@contextmanager
def stop_after_step(warn: Callable[[], None]) -> Iterator[DeferredInterrupt]:
    """Yield as `deferred_interrupt`; a signal that was received takes effect when the block ends.

    As a `train.loop.Interruptible`: after the checkpoint of the current step.
    """
    with deferred_interrupt(warn) as interrupted:
        yield interrupted
    if interrupted.number is not None:
        signal.raise_signal(interrupted.number)


@contextmanager
def terminated_after_step() -> Iterator[DeferredInterrupt]:
    """Yield whether SIGTERM was received, which takes effect when the block ends, however often it is repeated.

    For a process that another one terminates: where the whole process group was sent SIGTERM, it comes twice.
    """
    with _handled([signal.SIGTERM]):
        interrupt = DeferredInterrupt()

        def handle(number: int, frame: object) -> None:
            interrupt.number = number

        signal.signal(signal.SIGTERM, handle)
        yield interrupt
    if interrupt.number is not None:
        signal.raise_signal(interrupt.number)


@contextmanager
def _handled(numbers: Sequence[signal.Signals]) -> Iterator[Callable[[], None]]:
    """Context manager: yield a function that restores the handlers of these signals, as the end of the block does."""
    previous = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    try:
        yield restore
    finally:
        restore()
