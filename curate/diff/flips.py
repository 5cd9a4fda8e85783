"""FLIPS of two manifests: photos whose verdict differs, grouped by the reasons that came and went."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import REASONS, VERDICTS

Codes = npt.NDArray[np.int64]

COLUMNS = ("image_id", "identity", "verdict", "verdict_source", "reasons")
"""Columns of both manifests that are compared."""


@dataclass(frozen=True)
class FlipGroup:
    """Photos with the same change of verdict and reasons.

    Attributes:
        before, after: verdicts.
        gone, come: reasons that apply before only, and after only.
        rows: of the manifest before, in its order.
    """

    before: str
    after: str
    gone: tuple[str, ...]
    come: tuple[str, ...]
    rows: Codes

    @property
    def why(self) -> str:
        """The reasons that came and went, in words."""
        parts = [f"no longer {name}" for name in self.gone] + list(self.come)
        return ", ".join(parts).replace("_", " ") or "the same reasons, decided otherwise"


@dataclass(frozen=True)
class Flips:
    """The comparison of two manifests.

    Attributes:
        counts: (3, 3) photos of both, by the verdict before (rows) and after, in the order of VERDICTS.
        only_before, only_after: photos of one manifest alone.
        moved: photos of both whose identity differs.
        reasons: name of a reason -> photos of both to which it applies before, and after.
        groups: of the photos whose verdict differs, the largest group first.
        before_rows, after_rows: (K,) rows of the photos of both, in the order of the manifest before.
    """

    counts: Codes
    only_before: int
    only_after: int
    moved: int
    reasons: dict[str, tuple[int, int]]
    groups: list[FlipGroup]
    before_rows: Codes
    after_rows: Codes

    @property
    def changed(self) -> int:
        """Number of photos whose verdict differs."""
        return int(self.counts.sum() - np.trace(self.counts))


def compare(before: pa.Table, after: pa.Table) -> Flips:
    """Compare two manifests with COLUMNS by image_id. Vectorised, for millions of rows."""
    index = pc.index_in(before["image_id"].combine_chunks(), after["image_id"].combine_chunks())
    found = np.asarray(pc.is_valid(index).to_numpy(zero_copy_only=False), bool)
    rows = np.flatnonzero(found)
    others = np.asarray(pc.drop_null(index).to_numpy(zero_copy_only=False), np.int64)
    old, new = before.select(list(COLUMNS)).take(pa.array(rows)), after.select(list(COLUMNS)).take(pa.array(others))
    first, second = _verdict_codes(old), _verdict_codes(new)
    counts = np.bincount(first * len(VERDICTS) + second, minlength=len(VERDICTS) ** 2)
    flipped = np.flatnonzero(first != second)
    gone_and_come = zip(
        old["reasons"].take(pa.array(flipped)).to_pylist(),
        new["reasons"].take(pa.array(flipped)).to_pylist(),
        strict=True,
    )
    members: dict[tuple[int, int, tuple[str, ...], tuple[str, ...]], list[int]] = {}
    for row, (was, now) in zip(flipped.tolist(), gone_and_come, strict=True):
        gone = tuple(name for name in was if name not in now)
        come = tuple(name for name in now if name not in was)
        members.setdefault((int(first[row]), int(second[row]), gone, come), []).append(row)
    groups = [
        FlipGroup(VERDICTS[a], VERDICTS[b], gone, come, rows[np.array(positions)])
        for (a, b, gone, come), positions in members.items()
    ]
    return Flips(
        counts=counts.reshape(len(VERDICTS), len(VERDICTS)),
        only_before=before.num_rows - len(rows),
        only_after=after.num_rows - len(rows),
        moved=int(pc.sum(pc.not_equal(old["identity"], new["identity"])).as_py() or 0),
        reasons=_reasons(old, new),
        groups=sorted(groups, key=lambda group: (-len(group.rows), group.before, group.after, group.why)),
        before_rows=rows,
        after_rows=others,
    )


def _verdict_codes(table: pa.Table) -> Codes:
    values = table["verdict"].cast(pa.string()).combine_chunks()
    return np.asarray(pc.index_in(values, pa.array(VERDICTS)).to_numpy(zero_copy_only=False), np.int64)


def _reasons(old: pa.Table, new: pa.Table) -> dict[str, tuple[int, int]]:
    counts = []
    for table in (old, new):
        values = pc.value_counts(pc.list_flatten(table["reasons"].combine_chunks()))
        counts.append(Counter({entry["values"]: entry["counts"] for entry in values.to_pylist()}))
    names = [*REASONS, *sorted(set(counts[0] | counts[1]) - set(REASONS))]
    return {name: (counts[0][name], counts[1][name]) for name in names if counts[0][name] or counts[1][name]}
