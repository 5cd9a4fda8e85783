"""`Row`: one comparison of a GPU with the CPU, for `python -m bench.gpu`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison: what differs at most, by how much, and the limit."""

    path: str
    difference: float
    limit: float
    unit: str

    @property
    def passed(self) -> bool:
        return bool(self.difference <= self.limit)  # NaN fails
