"""The number of threads that decode and encode, where none is given."""

import os

MAX_THREADS = 16


def default_threads(processes: int = 1) -> int:
    """One thread per core, at most MAX_THREADS; in each of several processes its share of the cores."""
    return max(1, min(MAX_THREADS, len(os.sched_getaffinity(0)) // processes))
