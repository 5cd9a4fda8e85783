"""Time and memory of a process, and the results of benchmarks that run in a process of their own."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Seconds(NamedTuple):
    """Duration of one call: wall clock, and CPU time of all threads of this process."""

    wall: float
    cpu: float


def timed(call: Callable[[], object]) -> Seconds:
    """Measure one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def peak_memory(of: int = resource.RUSAGE_SELF) -> int:
    """Peak resident memory in bytes, of this process or, with RUSAGE_CHILDREN, of the largest finished child."""
    return resource.getrusage(of).ru_maxrss * 1024  # Linux counts KiB


def run_child(module: str, *arguments: object) -> Any:
    """Run `python -m module arguments...` in a new process and parse the JSON that it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
