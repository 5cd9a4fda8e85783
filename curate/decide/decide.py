"""Decide a dataset: stream its measures and relations through `decide_collection` and rewrite `manifest.parquet`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.collection import DecidedCollection, decide_collection
from curate.decide.footer import decision_footer
from curate.decide.overrides import FILE_NAME, create_overrides, read_overrides, suggest, unmatched_warnings
from curate.decide.rule import Rule
from curate.decide.rules import RULES, Policy
from curate.decide.stored_parts import stored_parts
from curate.listener import SILENT, Listener, progress
from manifests import layout
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.schema import arrow_schema
from manifests.writer import write_table

if TYPE_CHECKING:
    from curate.measure.sharpness import BlurCalibration


@dataclass(frozen=True)
class DecideRequest:
    """What to decide.

    Attributes:
        dataset: directory of a dataset that is measured and related.
        policy: thresholds.
        calibration: scores sharpness again from the stored statistics; None keeps the measured scores.
        rules: RULES, or a table with rules of your own.
    """

    dataset: Path
    policy: Policy = field(default_factory=Policy)
    calibration: "BlurCalibration | None" = None
    rules: tuple[Rule, ...] = RULES


@dataclass(frozen=True)
class Decided:
    """Result of `run`: photos in all and kept, photos per reason, and warnings on overrides that match no photo."""

    photos: int
    kept: int
    reasons: dict[str, int]
    warnings: list[str]


def run(request: DecideRequest, listener: Listener = SILENT) -> Decided:
    """Write `manifest.parquet` from the measures, the relations and overrides.csv (created empty where it is missing).

    A row group of the manifest holds whole buckets; the footer records the policy and its hash, and the calibration's
    hash where there is one. Raises DatasetError where the relations are missing or were computed from other measures,
    PolicyError for a faulty overrides.csv, OutputError where the manifest cannot be written, BusyError where another
    process writes into the dataset.
    """
    with OutputLock(request.dataset):
        return run_locked(request, listener)


def run_locked(request: DecideRequest, listener: Listener = SILENT) -> Decided:
    """Do what `run` does, where the caller holds the dataset's `OutputLock`."""
    dataset = Dataset.open(request.dataset)
    create_overrides(dataset.path / FILE_NAME)
    overrides = read_overrides(dataset.path / FILE_NAME)
    parts = stored_parts(dataset, request.calibration)
    collection = decide_collection(parts, request.policy, overrides, request.rules)
    footer = decision_footer(request.policy, collection.policy, request.calibration)
    tally = _Tally([rule.reason for rule in request.rules], overrides.verdicts)
    with progress(listener, "deciding", sum(part.rows for part in parts), "faces") as advance:
        tables = _decided_tables(collection, tally, advance)
        write_table(dataset.path / layout.MANIFEST, tables, arrow_schema("manifest"), footer)
    suggestions = {}
    if tally.unmatched:
        suggestions = suggest(tally.unmatched, dataset.manifest(["image_id"])["image_id"].to_pylist())
    warnings = unmatched_warnings(overrides, tally.unmatched, suggestions)
    return Decided(tally.photos, tally.kept, tally.reasons(), warnings)


class _Tally:
    """Counts over the manifest's tables."""

    def __init__(self, reasons: Sequence[str], overridden: Iterable[str]) -> None:
        self.photos = 0
        self.kept = 0
        self.unmatched = set(overridden)
        self._names = pa.array(reasons, pa.string())
        self._counts = np.zeros(len(reasons), np.int64)

    def add(self, table: pa.Table) -> None:
        self.photos += table.num_rows
        self.kept += pc.sum(pc.equal(table["verdict"].combine_chunks().indices, 0)).as_py() or 0
        codes = pc.index_in(pc.list_flatten(table["reasons"]), self._names).to_numpy()
        self._counts += np.bincount(codes, minlength=len(self._counts))
        if self.unmatched:
            matched = pc.is_in(table["image_id"], pa.array(self.unmatched))
            self.unmatched.difference_update(table["image_id"].filter(matched).to_pylist())

    def reasons(self) -> dict[str, int]:
        return dict(zip(self._names.to_pylist(), self._counts.tolist(), strict=True))


def _decided_tables(collection: DecidedCollection, tally: _Tally, advance: Callable[[int], None]) -> Iterator[pa.Table]:
    for batch, table in zip(collection.batches, collection.tables(), strict=True):
        tally.add(table)
        yield table
        advance(sum(part.rows for part in batch))
