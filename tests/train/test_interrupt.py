"""Deferred Ctrl-C."""

import os
import signal

import pytest

from train.interrupt import deferred_interrupt, stop_after_step, terminated_after_step


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


def test_a_signal_takes_effect_after_the_step() -> None:
    steps: list[str] = []
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), stop_after_step(lambda: steps.append("warned")) as interrupted:  # noqa: PT012
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupted()
            steps.append("checkpoint")
        assert steps == ["warned", "checkpoint"]
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_terminated_process_finishes_its_step_however_often_it_is_terminated() -> None:
    ended: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        with terminated_after_step() as interrupted:
            assert not interrupted()
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupted()
            assert not ended
        assert ended == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, previous)
