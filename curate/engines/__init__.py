"""Engines: run the tasks of an operation on one or more processes or machines.

In: picklable tasks and a set-up function. Out: nothing; a task writes its own files. An engine has no knowledge of
photos or faces. `local` uses processes of this machine.

To add an engine, write one file with a class that has the method of `curate.engines.engine.Engine` and add an entry to
`ENGINES`.
"""

from collections.abc import Callable

from curate.engines.engine import Engine
from curate.engines.local import LocalEngine

__all__ = ["ENGINES", "Engine", "open_engine"]

ENGINES: dict[str, Callable[[int, int], Engine]] = {"local": LocalEngine}
"""Name -> constructor, called with the number of workers and the number of threads of each worker."""


def open_engine(name: str, workers: int, threads: int) -> Engine:
    """Create the engine called `name`. Raises ValueError for an unknown name."""
    if name not in ENGINES:
        raise ValueError(f"no engine is called {name!r}; choose {', '.join(sorted(ENGINES))}")
    return ENGINES[name](workers, threads)
