"""Parts of a measurement: part i of n takes the shards whose number modulo n is i.

Parts run on independent machines. n may be another one in the next run, because what is finished is
a property of each shard.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

AUTO = "auto"


@dataclass(frozen=True)
class Part:
    """Part `index`, from 0, of `count`. Raises ValueError where there is no such part."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"--part {self}: i of i/n is from 0 to n - 1")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def buckets(self, buckets: int) -> range:
        """Return the shards of the part among `buckets`."""
        return range(self.index, buckets, self.count)


WHOLE = Part(0, 1)


def parse_part(text: str, environment: Mapping[str, str]) -> Part:
    """Parse "i/n", or find i and n of "auto" in the environment of a job array.

    Slurm: SLURM_ARRAY_TASK_ID, _MIN and _COUNT of an array without gaps. Kubernetes: JOB_COMPLETION_INDEX of an indexed
    job, and JOB_COMPLETIONS, which the job's template must set. Raises ValueError, one line.
    """
    if text == AUTO:
        return _of_environment(environment)
    index, slash, count = text.partition("/")
    if not slash or not (index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
        raise ValueError(f"--part {text}: give i/n, part i (from 0) of n, or auto in a job array")
    return Part(int(index), int(count))


def in_array(environment: Mapping[str, str]) -> bool:
    """Whether the process is a task of a job array."""
    return "SLURM_ARRAY_TASK_ID" in environment or "JOB_COMPLETION_INDEX" in environment


def array_expression(indices: Iterable[int]) -> str:
    """Write ascending numbers as Slurm's `--array` takes them: "0,3-7"."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _of_environment(environment: Mapping[str, str]) -> Part:
    if "SLURM_ARRAY_TASK_ID" not in environment:
        index, count = (_number(environment, name) for name in ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"))
        return Part(index, count)
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_COUNT")
    index, low, high, count = (_number(environment, name) for name in names)
    if high - low + 1 != count:
        raise ValueError(
            f"--part auto: the array from {low} to {high} has {count} tasks, so it has gaps: give the number of parts, "
            f"--part {index}/N"
        )
    return Part(index - low, count)


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not (value.isascii() and value.isdigit()):
        raise ValueError(
            f"--part auto: the environment has {name}={value!r}: run it in a Slurm array (sbatch --array=0-63) or an "
            "indexed Kubernetes job that sets JOB_COMPLETIONS, or give --part i/n"
        )
    return int(value)
