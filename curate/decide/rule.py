"""Rule: when a reason applies to a photo, the verdict that it gives, and how reports explain it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from curate.decide.rules import Policy

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


class Columns:
    """The columns that a rule declares, of N rows of measures and relations, as numpy arrays.

    Raises KeyError for a column that the rule does not declare or that no table has.
    """

    def __init__(self, rule: "Rule", *tables: pa.Table) -> None:
        self._rule = rule
        self._tables = tables

    def number(self, name: str) -> Values:
        """Return a numeric column, (N,) float64; NaN where it is null, so that no comparison holds."""
        return np.asarray(self._column(name).to_numpy(), dtype=np.float64)

    def valid(self, name: str) -> Flags:
        """Return where a column is not null, (N,)."""
        return as_flags(pc.is_valid(self._column(name)))

    def equal(self, name: str, value: str) -> Flags:
        """Return where a text column equals `value`, (N,); False where it is null."""
        return as_flags(pc.equal(self._column(name), value))

    def alike(self, name: str, other: str) -> Flags:
        """Return where two text columns are equal, (N,); False where either is null."""
        return as_flags(pc.equal(self._column(name), self._column(other)))

    def _column(self, name: str) -> pa.ChunkedArray:
        if name not in self._rule.columns:
            raise KeyError(f"the rule {self._rule.reason!r} reads {name!r}: add it to the rule's columns")
        for table in self._tables:
            if name in table.column_names:
                return table[name]
        raise KeyError(f"the rule {self._rule.reason!r} reads {name!r}, which is neither measured nor related")


@dataclass(frozen=True)
class Chart:
    """Histogram of a column in the report.

    Attributes:
        column: a numeric column of the manifest.
        title: heading of the chart.
        low, high: range of the axis; values outside it are counted in the first and the last bin.
        limits: policy -> thresholds on the column, drawn as lines.
    """

    column: str
    title: str
    low: float
    high: float
    limits: "Callable[[Policy], tuple[float, ...]]" = lambda policy: ()


@dataclass(frozen=True)
class Rule:
    """One reason to drop a photo, or to have a person look at it.

    Attributes:
        reason: name in the manifest's column `reasons`.
        meaning: explanation for reports and documentation.
        columns: columns of measures and relations that the predicate reads. A rule that reads `duplicate_kind` is
            applied after the kept photo of each duplicate group is chosen.
        keys: keys of the policy that the predicate depends on.
        applies: (columns, policy) -> (N,) rows to which the reason applies. A missing measurement must not trigger it.
        verdict: of a photo to which the reason applies: "drop", or "review" where no reason to drop applies.
        shown: numbers shown beside an example in the report; examples are spread over the range of the first one.
        charts: histograms in the report.
    """

    reason: str
    meaning: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    applies: "Callable[[Columns, Policy], Flags]"
    verdict: Literal["review", "drop"] = "drop"
    shown: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()


def as_flags(values: pa.ChunkedArray | pa.Array) -> Flags:
    """Convert Arrow booleans to numpy; null counts as False."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)
