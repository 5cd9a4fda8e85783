"""The photo that is kept of each duplicate group, and the kind of every other copy."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.rule import as_flags

Codes = npt.NDArray[np.int64]
Verdicts = npt.NDArray[np.int8]

RANKING_COLUMNS = ("image_id", "identity", "sha256")
"""Columns of the measures that choosing the kept photos needs."""

_KEPT_BY_HAND = -1
"""Standing before the codes of `manifests.schema.VERDICTS`: keep, review, drop."""


@dataclass(frozen=True)
class Duplicates:
    """Copies of a whole collection: three columns of equal length, one row per photo that is not the kept one.

    image_id: the copy. duplicate_of: the kept photo of its group. duplicate_kind: 'exact' (same bytes) or 'near'.
    """

    image_id: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    duplicate_of: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    duplicate_kind: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))

    def columns_for(self, image_id: pa.ChunkedArray) -> pa.Table:
        """Return duplicate_of and duplicate_kind of N photos, null where a photo is no copy."""
        rows = pc.index_in(image_id, self.image_id)
        names = ("duplicate_of", "duplicate_kind")
        return pa.table([pc.take(getattr(self, name), rows) for name in names], names=names)


def group_members(relations: pa.Table) -> npt.NDArray[np.int64]:
    """Return the rows of main faces whose photo is in a duplicate group."""
    return np.flatnonzero(as_flags(pc.is_valid(relations["duplicate_group"])) & as_flags(relations["main"]))


def candidates(measures: pa.Table, relations: pa.Table, human: Verdicts, own: Verdicts) -> pa.Table:
    """Collect what `choose_kept` compares, for N photos of duplicate groups.

    Args:
        measures: table with RANKING_COLUMNS.
        relations: the same rows of the relations.
        human: (N,) human verdicts, codes of `manifests.schema.VERDICTS`; -1 for none.
        own: (N,) verdicts for reasons other than being a copy or soft.
    """
    standing = np.where(human == 0, _KEPT_BY_HAND, np.where(human > 0, human, own))
    columns = {name: measures[name] for name in RANKING_COLUMNS}
    columns |= {name: relations[name] for name in ("duplicate_group", "copy_rank", "own_similarity")}
    return pa.table(columns | {"standing": pa.array(standing, pa.int8())})


def choose_kept(parts: Sequence[pa.Table]) -> Duplicates:
    """Choose the kept photo of each duplicate group from the `candidates` of all parts.

    The kept photo is the best one (`_best_first`) of those that a human keeps; else of those to which no other reason
    applies; else of those to review (but for being soft); else of all: then it is dropped for its own reasons, and the
    copies refer to it all the same. A copy is 'exact' where its bytes equal those of the kept photo or of a better
    copy, else 'near'.
    """
    if not sum(part.num_rows for part in parts):
        return Duplicates()
    rows = pa.concat_tables(parts).combine_chunks()
    group = np.unique(rows["duplicate_group"].to_numpy(), return_inverse=True)[1].reshape(-1)
    order = _best_first(rows, group * 4 + rows["standing"].to_numpy() - _KEPT_BY_HAND)
    group, content = group[order], _codes(rows["sha256"])[order]
    kept = np.searchsorted(group, group)
    copies = kept != np.arange(len(order))
    # The same bytes as any better photo of its group.
    _, first = np.unique(np.stack([group, content], axis=1), axis=0, return_index=True)
    exact = np.ones(len(order), bool)
    exact[first] = False
    hashed = as_flags(pc.is_valid(rows["sha256"]))[order]
    image_id = rows["image_id"].combine_chunks()
    return Duplicates(
        image_id.take(order[copies]),
        image_id.take(order[kept[copies]]),
        pa.array(np.where(exact & hashed, "exact", "near")[copies], pa.string()),
    )


def _best_first(rows: pa.Table, group: Codes) -> Codes:
    """Return the order of N photos by ascending group, the best photo of each group first.

    Where a group spans several identities, photos of one identity come first: that of the photo with the highest
    similarity to its own centroid (null is the lowest). Then `copy_rank` decides.
    """
    identity = _codes(rows["identity"])
    similarity = np.nan_to_num(rows["own_similarity"].to_numpy(), nan=-2.0)
    codes, inverse = np.unique(np.stack([group, identity], axis=1), axis=0, return_inverse=True)
    highest = np.full(len(codes), -2.0, np.float32)
    np.maximum.at(highest, inverse.reshape(-1), similarity)
    return np.lexsort((rows["copy_rank"].to_numpy(), identity, -highest[inverse.reshape(-1)], group))


def _codes(values: pa.ChunkedArray) -> Codes:
    """Return integers in the order of the strings."""
    ranks = pc.rank(values.combine_chunks(), sort_keys="ascending", tiebreaker="dense")
    return np.asarray(ranks.to_numpy(), dtype=np.int64)
