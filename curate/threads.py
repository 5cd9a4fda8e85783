"""How many cores this process may use, and how many threads decode and encode where no number is given."""

import os

_MAX_THREADS = 16


def usable_cores() -> int:
    """Cores that this process is allowed to run on; all of the machine where the system does not tell (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads(processes: int = 1) -> int:
    """One thread per core, at most 16; in each of several processes its share of the cores."""
    return max(1, min(_MAX_THREADS, usable_cores() // processes))
