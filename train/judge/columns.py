"""Columns of a table of pair scores as arrays."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from train.data.pairs import Kind

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def cross_column(pairs: pa.Table, name: str) -> Floats:
    """A column of the pairs of two people, in their order."""
    column = pairs.filter(pc.equal(pairs["kind"], "cross"))[name]
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def person_codes(pairs: pa.Table, kind: Kind) -> list[Indices]:
    """Person of each pair of that kind in each role, as integers: targets and, where they differ, sources."""
    selected = pairs.filter(pc.equal(pairs["kind"], kind))
    roles = ["target_person", "source_person"] if kind == "cross" else ["target_person"]
    names = np.stack([np.array(selected[role].to_pylist(), str) for role in roles])
    return list(np.unique(names, return_inverse=True)[1].reshape(names.shape))


def of_judge(pairs: pa.Table, judge: str) -> pa.Table:
    """The rows of one judge."""
    return pairs.filter(pc.equal(pairs["judge"], judge))
