"""Deferred Ctrl-C."""

import os
import signal

import pytest

from train.interrupt import deferred_interrupt


def test_the_second_interrupt_stops_at_once() -> None:
    warnings: list[bool] = []
    # A program that was started in the background may ignore the signal.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), deferred_interrupt(lambda: warnings.append(True)) as interrupted:  # noqa: PT012
            assert not interrupted()
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupted()
            os.kill(os.getpid(), signal.SIGINT)
        assert warnings == [True]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, previous)
