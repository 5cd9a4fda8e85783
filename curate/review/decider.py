"""Decide a few photos of a dataset again after an action, as `decide` would decide them in the whole collection."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.decide.collection import Part, TablePart, decide_collection
from curate.decide.rules import Policy
from curate.decide.sharpness_limit import SharpnessLimits
from curate.review.document import Document
from curate.review.index import PhotoIndex

Rows = npt.NDArray[np.int64]

MAX_CACHED_ROWS = 40_000
"""Rows of measures that are held in memory: about 50 MB."""


class Decider:
    """Decides photos of a collection by its policy.

    Args:
        parts: the buckets of the dataset, in order.
        index: their photos.
        policy: as requested, without the limits of the collection.
        limits: sharpness limits of the collection, which no action changes.

    Attributes:
        applied: the policy with the limit of the collection, by which doubts are judged.
    """

    def __init__(self, parts: Sequence[Part], index: PhotoIndex, policy: Policy, limits: SharpnessLimits) -> None:
        self._parts, self._index, self._policy, self._limits = parts, index, policy, limits
        self.applied = replace(policy, min_sharpness=limits.typical) if policy.adapt_sharpness else policy
        self._cached: OrderedDict[int, tuple[pa.Table, pa.Table]] = OrderedDict()

    def decide(self, rows: Rows, document: Document) -> pa.Table:
        """Return the MANIFEST rows of photos; with one of a duplicate group, all of it must be among them."""
        overrides = document.overrides(self._index.ids(rows))
        part = TablePart(*self.tables(rows))
        return decide_collection([part], self._policy, overrides, limits=self._limits).table()

    def tables(self, rows: Rows) -> tuple[pa.Table, pa.Table]:
        """Return measures and relations of photos, in the order of `rows`, which ascend."""
        measures, relations = zip(*self._pieces(rows), strict=True)
        return pa.concat_tables(measures), pa.concat_tables(relations)

    def _pieces(self, rows: Rows) -> Iterator[tuple[pa.Table, pa.Table]]:
        starts = self._index.starts
        buckets = np.searchsorted(starts, rows, side="right") - 1
        for bucket in np.unique(buckets).tolist():
            at = pa.array(rows[buckets == bucket] - starts[bucket])
            measures, relations = self._bucket(bucket)
            yield measures.take(at), relations.take(at)

    def _bucket(self, bucket: int) -> tuple[pa.Table, pa.Table]:
        """The main faces of a bucket."""
        if bucket not in self._cached:
            measures, relations = self._parts[bucket].tables()
            main = relations["main"]
            self._cached[bucket] = measures.filter(main), relations.filter(main)
        self._cached.move_to_end(bucket)
        while len(self._cached) > 1 and sum(part.num_rows for part, _ in self._cached.values()) > MAX_CACHED_ROWS:
            self._cached.popitem(last=False)
        return self._cached[bucket]
