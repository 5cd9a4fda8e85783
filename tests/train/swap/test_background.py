"""Background threads: order, bounds, errors."""

from collections.abc import Iterator

import pytest

from train.swap.background import BackgroundWorker, prefetch


def test_prefetch_keeps_order_and_bound_and_raises_errors() -> None:
    produced: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(10):
            produced.append(number)
            yield number
        raise ValueError("at the end")

    consumed: list[int] = []

    def consume() -> None:
        for number in prefetch(numbers(), 2):
            consumed.append(number)
            assert len(produced) <= len(consumed) + 3

    with pytest.raises(ValueError, match="at the end"):
        consume()
    assert consumed == list(range(10))


def test_a_worker_keeps_order() -> None:
    done: list[int] = []
    worker = BackgroundWorker(done.append, 2)
    for number in range(5):
        worker.put(number)
    worker.close()
    assert done == [0, 1, 2, 3, 4]


def test_a_worker_raises_errors_when_closed() -> None:
    failing: BackgroundWorker[int] = BackgroundWorker(lambda number: 1 // number, 1)
    failing.put(0)
    with pytest.raises(ZeroDivisionError):
        failing.close()
    failing.cancel()
