"""Work in a background thread, a bounded number of items ahead of or behind the calling thread."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_END = object()


def prefetch(items: Iterable[T], depth: int) -> Iterator[T]:
    """Iterate over items that a thread computes up to `depth` in advance; their errors are raised in the caller."""
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        pending = deque(thread.submit(next, source, _END) for _ in range(depth))
        try:
            while (item := pending.popleft().result()) is not _END:
                pending.append(thread.submit(next, source, _END))
                yield cast(T, item)
        finally:
            for future in pending:
                future.cancel()


class BackgroundWorker(Generic[T]):
    """Calls `function` with each item, in order, in a thread; at most `depth` items wait.

    An error of `function` is raised by a later `put`, or by `close`.
    """

    def __init__(self, function: Callable[[T], object], depth: int) -> None:
        self._function, self._depth = function, depth
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._pending: deque[Future[object]] = deque()

    def put(self, item: T) -> None:
        """Add an item; blocks while `depth` others wait."""
        while len(self._pending) >= self._depth:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._function, item))

    def close(self) -> None:
        """Wait until all items are done."""
        while self._pending:
            self._pending.popleft().result()
        self._thread.shutdown()

    def cancel(self) -> None:
        """Wait for the current item; waiting items and errors are discarded."""
        self._thread.shutdown(cancel_futures=True)
