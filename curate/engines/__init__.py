"""Engines: run the tasks of an operation on one or more processes or machines.

In: picklable tasks and a set-up function. Out: nothing; a task writes its own files. An engine has no knowledge of
photos or faces. `local` uses processes of this machine, `ray` actors on the nodes of a Ray cluster.

To add an engine, write one file with a class that has the method of `curate.engines.engine.Engine` and add an entry to
`ENGINES`.
"""

from collections.abc import Callable

from curate.engines.engine import Engine

__all__ = ["ENGINES", "Engine", "open_engine"]


def _local(workers: int, threads: int, gpus: float) -> Engine:
    from curate.engines.local import LocalEngine

    return LocalEngine(workers, threads, gpus)


def _ray(workers: int, threads: int, gpus: float) -> Engine:
    from curate.engines.ray import RayEngine

    return RayEngine(workers, threads, gpus)


ENGINES: dict[str, Callable[[int, int, float], Engine]] = {"local": _local, "ray": _ray}
"""Name -> constructor, called with the number of workers (0: as many as the engine has), and the numbers of threads and
of GPUs of each worker. The modules are imported when an engine is opened: `--help` lists the names."""


def open_engine(name: str, workers: int, threads: int, gpus: float = 0) -> Engine:
    """Create the engine called `name`. Raises ValueError for an unknown name."""
    if name not in ENGINES:
        raise ValueError(f"no engine is called {name!r}; choose {', '.join(sorted(ENGINES))}")
    return ENGINES[name](workers, threads, gpus)
