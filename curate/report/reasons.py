"""The reasons of all rows of a manifest, as arrays."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import REASONS

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reasons:
    """Pairs of a photo and a reason: row `rows[k]` has the reason `names[codes[k]]`, rows ascending.

    names: REASONS, then those of rules that do not ship with the program.
    """

    names: tuple[str, ...]
    rows: Codes
    codes: Codes

    @classmethod
    def from_manifest(cls, manifest: pa.Table) -> "Reasons":
        lists = manifest["reasons"].combine_chunks()
        values = lists.flatten()
        names = (*REASONS, *sorted(set(pc.unique(values).to_pylist()) - set(REASONS)))
        return cls(names, np.asarray(pc.list_parent_indices(lists)), np.asarray(pc.index_in(values, pa.array(names))))
