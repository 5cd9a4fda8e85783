"""Work in a thread of its own, a bounded number of items ahead of, or behind, the one that uses it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_END = object()


def ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """The same items, made in a thread up to `depth` of them in advance; an error is raised where it occurred."""
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        waiting = deque(thread.submit(next, source, _END) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, source, _END))
                yield cast(T, item)
        finally:
            for one in waiting:
                one.cancel()


class Behind(Generic[T]):
    """Calls `function` with each item put, in order, in a thread; at most `depth` items wait.

    An error of the thread is raised by a later `put`, or by `close`.
    """

    def __init__(self, function: Callable[[T], object], depth: int) -> None:
        self._function, self._depth = function, depth
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._waiting: deque[Future[object]] = deque()

    def put(self, item: T) -> None:
        """Hand over an item; waits while `depth` others do."""
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._function, item))

    def close(self) -> None:
        """Wait until everything is done."""
        while self._waiting:
            self._waiting.popleft().result()
        self._thread.shutdown()

    def drop(self) -> None:
        """Wait for the item in work only; the others are forgotten, errors too."""
        self._thread.shutdown(cancel_futures=True)
