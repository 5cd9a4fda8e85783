"""Verifies many files: in threads, in the order of the files, a few ahead of the one whose verdict is taken."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from train.marks.verify import Verdict, verify

_AHEAD = 4  # files per thread, so that a long video does not hold up the others


def verify_files(paths: Iterable[Path], threads: int = 1) -> Iterator[Verdict]:
    """The verdict of each file, in this order."""
    rest = iter(paths)
    with ThreadPoolExecutor(threads, "verify") as pool:
        pending: deque[Future[Verdict]] = deque(pool.submit(verify, path) for path in islice(rest, _AHEAD * threads))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(verify, path) for path in islice(rest, 1))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
