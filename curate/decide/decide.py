"""Decide a dataset: stream its measures and relations through `decide_collection` and rewrite `manifest.parquet`."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from curate.audit.record import carried_audit
from curate.decide.check import Check, Finding
from curate.decide.checks import CHECKS, findings
from curate.decide.collection import DecidedCollection, decide_collection
from curate.decide.collection_numbers import CollectionTally
from curate.decide.footer import decision_footer, findings_footer
from curate.decide.rule import Rule
from curate.decide.rules import RULES, Policy
from curate.decide.stored_parts import stored_parts
from curate.lineage import is_made_from, made_from
from curate.listener import SILENT, Listener, progress
from curate.overrides import FILE_NAME, create_overrides, read_overrides, suggest, unmatched_warnings
from manifests import layout
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.schema import VERDICTS, arrow_schema
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
        checks: CHECKS, or a table with checks of your own.
    """

    dataset: Path
    policy: Policy = field(default_factory=Policy)
    calibration: "BlurCalibration | None" = None
    rules: tuple[Rule, ...] = RULES
    checks: tuple[Check, ...] = CHECKS


@dataclass(frozen=True)
class Decided:
    """Result of `run`.

    Attributes:
        photos: photos in all.
        kept, review, dropped: photos of each verdict.
        review_is_used: whether training and exports use the photos to review (the policy's keep_review).
        reasons: photos to which each reason applies.
        warnings: overrides that match no photo.
        findings: what the checks found off in the collection as a whole.
    """

    photos: int
    kept: int
    review: int
    dropped: int
    review_is_used: bool
    reasons: dict[str, int]
    warnings: list[str]
    findings: tuple[Finding, ...] = ()


def run(request: DecideRequest, listener: Listener = SILENT) -> Decided:
    """Write `manifest.parquet` from the measures, the relations and overrides.csv (created empty where it is missing).

    A row group of the manifest holds whole buckets; the footer records the policy and its hash, the calibration's hash
    where there is one, and what the checks found. Raises DatasetError where the relations are missing or were computed
    from other measures, PolicyError for a faulty overrides.csv, OutputError where the manifest cannot be written,
    BusyError where another process writes into the dataset.
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
    footer = decision_footer(request.policy, collection.sharpness_limits, request.calibration)
    footer |= made_from(relations=dataset.relations_file().digest, overrides=overrides.fingerprint())
    footer |= carried_audit(dataset.path / layout.MANIFEST, footer)
    tally = CollectionTally([rule.reason for rule in request.rules])
    unmatched = overrides.photos()
    found: list[Finding] = []

    def check() -> dict[str, str]:
        limit = collection.sharpness_limits.typical
        limit = limit if limit < request.policy.min_sharpness else math.nan
        found.extend(findings(tally.numbers(limit, dataset.info.source.ignored), request.checks))
        return findings_footer(found)

    with progress(listener, "deciding", sum(part.rows for part in parts), "faces") as advance:
        tables = _decided_tables(collection, tally, unmatched, advance)
        write_table(dataset.path / layout.MANIFEST, tables, arrow_schema("manifest"), footer, check)
    suggestions = {}
    if unmatched:
        suggestions = suggest(unmatched, dataset.manifest(["image_id"])["image_id"].to_pylist())
    warnings = unmatched_warnings(overrides, unmatched, suggestions)
    if not is_made_from(dataset.relations_file().metadata, identities=overrides.identities_fingerprint()):
        warnings.append(
            f"{FILE_NAME} moves photos or joins identities since they were compared: run `curate relate {dataset.path}`"
            f", then `curate decide {dataset.path}`, to compare them with their new identities"
        )
    kept, review, dropped = (tally.verdicts[verdict] for verdict in VERDICTS)
    used = request.policy.keep_review
    return Decided(tally.photos, kept, review, dropped, used, tally.reasons, warnings, tuple(found))


def _decided_tables(
    collection: DecidedCollection, tally: CollectionTally, unmatched: set[str], advance: Callable[[int], None]
) -> Iterator[pa.Table]:
    """Yield the manifest's tables; count them in `tally` and remove their photos from `unmatched`."""
    for batch, table in zip(collection.batches, collection.tables(), strict=True):
        tally.add(table)
        if unmatched:
            matched = pc.is_in(table["image_id"], pa.array(unmatched))
            unmatched.difference_update(table["image_id"].filter(matched).to_pylist())
        yield table
        advance(sum(part.rows for part in batch))
