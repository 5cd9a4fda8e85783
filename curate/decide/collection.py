"""Decide a collection: its measures and relations, a policy and human verdicts give the rows of the manifest.

Nothing in this file reads or writes files.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.corrections import correct, without_refused
from curate.decide.kept_photo import RANKING_COLUMNS, Duplicates, candidates, choose_kept, group_members
from curate.decide.rule import Flags, Rule
from curate.decide.rules import RULES, Policy, photo_reasons, ranking_rules
from curate.decide.sharpness_limit import (
    CROP,
    Floats,
    SharpnessLimits,
    collection_limits,
    detail_enlargement,
    fixed_limit,
)
from curate.overrides import Overrides
from manifests.landmarks import TEMPLATES
from manifests.schema import MEASURES, NOT_IN_MANIFEST, RELATIONS, SHARPNESS_LIMIT, VERDICTS, arrow_schema

Codes = npt.NDArray[np.int8]

KEEP, REVIEW, DROP = range(len(VERDICTS))
"""Codes of the verdicts."""

BATCH_ROWS = 1 << 16
"""Parts are decided together, as one row group of the manifest, until they hold so many rows: a row group has a fixed
cost for each of the manifest's columns."""

_MANIFEST_MEASURES = [column.name for column in MEASURES if column.name not in NOT_IN_MANIFEST]

_SHARPNESS_COLUMNS = ("sharpness", "width", "height")

_DETAIL_COLUMNS = ("upscale", "resolution")

_READ_THREADS = 2
"""Arrow works outside the GIL; each thread holds the columns of one batch."""

T = TypeVar("T")
R = TypeVar("R")


class Part(Protocol):
    """Some identities of a collection, with all their photos."""

    @property
    def template(self) -> str:
        """Name of the template of the stored crops, a key of `TEMPLATES`."""

    @property
    def rows(self) -> int:
        """Number of rows of the measures and of the relations."""

    @property
    def has_duplicates(self) -> bool:
        """Whether a photo is in a duplicate group."""

    def measures(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return `columns` of the measures (None: all)."""

    def tables(self, columns: Sequence[str] | None = None) -> tuple[pa.Table, pa.Table]:
        """Return `columns` of the measures (None: all; others may come with them) and the relations, row for row."""


@dataclass(frozen=True)
class TablePart:
    """A part in memory: MEASURES and RELATIONS, the same rows in the same order."""

    measures_table: pa.Table
    relations_table: pa.Table
    template: str = CROP.name

    @property
    def rows(self) -> int:
        return int(self.measures_table.num_rows)

    @property
    def has_duplicates(self) -> bool:
        return bool(self.relations_table["duplicate_group"].null_count < self.rows)

    def measures(self, columns: Sequence[str] | None = None) -> pa.Table:
        return self.measures_table if columns is None else self.measures_table.select(list(columns))

    def tables(self, columns: Sequence[str] | None = None) -> tuple[pa.Table, pa.Table]:
        return self.measures(columns), self.relations_table


@dataclass(frozen=True)
class DecidedCollection:
    """A decided collection, whose manifest is computed batch by batch.

    Attributes:
        policy: as given to `decide_collection`.
        sharpness_limits: sharpness below which a face is blurred, by the size of its photo.
        overrides, rules: as given to `decide_collection`.
        duplicates: the copies of the collection.
        batches: the parts, grouped as they are decided.
    """

    policy: Policy
    sharpness_limits: SharpnessLimits
    overrides: Overrides
    rules: tuple[Rule, ...]
    duplicates: Duplicates
    batches: list[list[Part]]

    def tables(self) -> Iterator[pa.Table]:
        """Yield the MANIFEST rows of each batch, one per photo, in the order of the parts."""
        return _one_ahead(self._decide, self.batches)

    def table(self) -> pa.Table:
        """Return the whole manifest."""
        return pa.concat_tables(list(self.tables()))

    def _decide(self, batch: Sequence[Part]) -> pa.Table:
        measures, relations = _main_rows(*_read(batch, _MANIFEST_MEASURES))
        copies = self.duplicates.columns_for(measures["image_id"])
        corrected = correct(measures, relations, self.overrides)
        relations = corrected.relations
        limits = _limits_of(measures, self.sharpness_limits)
        reasons = photo_reasons(self.rules, self.policy, corrected.judged, measures, copies, limits)
        human = _human_verdicts(measures["image_id"], self.overrides)
        verdict = np.where(human >= 0, human, policy_verdicts(reasons, self.rules))
        keep = verdict == KEEP if not self.policy.keep_review else verdict != DROP
        verdicts = {
            "keep": pa.array(keep),
            "verdict": _dictionary(verdict, VERDICTS),
            "verdict_source": _dictionary(human >= 0, ("policy", "override")),
            "reasons": _lists(reasons, [rule.reason for rule in self.rules]),
        }
        given = verdicts | {"source_identity": measures["identity"]}
        schema = arrow_schema("manifest")
        columns = [
            given[name] if name in given else _first(name, relations, measures, copies, limits) for name in schema.names
        ]
        return pa.table(columns, schema=schema)


def decide_collection(
    parts: Sequence[Part],
    policy: Policy,
    overrides: Overrides | None = None,
    rules: Sequence[Rule] = RULES,
    limits: SharpnessLimits | None = None,
) -> DecidedCollection:
    """Decide all photos of a collection.

    The sharpness limit is adapted to the whole collection and the kept photo of each duplicate group is chosen here;
    the manifest is computed while `DecidedCollection.tables` is iterated. A photo is represented by its main face.
    `reasons` holds all that apply, in the order of `rules`, also where an override keeps the photo.

    Args:
        parts: at least one; together, all photos of the collection, or whole duplicate groups of it with `limits`.
        policy: thresholds.
        overrides: human verdicts, which take precedence over the policy.
        rules: RULES, or a table with rules of your own.
        limits: sharpness limits of the collection; None: they are computed from `parts`.
    """
    overrides, rules = overrides or Overrides(), tuple(rules)
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        if limits is None:
            limits = fixed_limit(policy.min_sharpness)
            if policy.adapt_sharpness:
                scores, width, height, enlargement = np.concatenate(list(pool.map(_sharpness, parts)), 1)
                limits = collection_limits(scores, width, height, enlargement, policy.min_sharpness)
        own = ranking_rules(rules)
        related = {column.name for column in (*RELATIONS, SHARPNESS_LIMIT)} - set(RANKING_COLUMNS)
        columns = {*RANKING_COLUMNS, *(name for rule in own for name in rule.columns if name not in related)}

        def members(batch: Sequence[Part]) -> pa.Table:
            measures, relations = _read(batch, sorted(columns))
            rows = group_members(relations)
            measures, relations = measures.take(rows), relations.take(rows)
            judged = correct(measures, relations, overrides).judged
            reasons = photo_reasons(own, policy, judged, measures, _limits_of(measures, limits))
            human = _human_verdicts(measures["image_id"], overrides)
            return candidates(measures, relations, human, policy_verdicts(reasons, own))

        batches = _batches([part for part in parts if part.has_duplicates])
        found = map(members, batches) if len(batches) == 1 else pool.map(members, batches)
        duplicates = without_refused(choose_kept(list(found)), overrides)
    return DecidedCollection(policy, limits, overrides, rules, duplicates, _batches(parts))


def policy_verdicts(reasons: Flags, rules: Sequence[Rule]) -> Codes:
    """Return the (N,) codes of VERDICTS that (N, len(rules)) reasons give; one to drop prevails over one to review."""
    drops = np.array([rule.verdict == "drop" for rule in rules], bool)
    review = reasons[:, ~drops].any(axis=1)
    return np.where(reasons[:, drops].any(axis=1), DROP, np.where(review, REVIEW, KEEP)).astype(np.int8)


def _sharpness(part: Part) -> Floats:
    """Sharpness of the main faces, width, height and enlargement of their photos, (4, N)."""
    measures, _ = _main_rows(*part.tables((*_SHARPNESS_COLUMNS, *_DETAIL_COLUMNS)))
    *values, upscale, resolution = (
        np.asarray(measures[name].to_numpy(), np.float64) for name in (*_SHARPNESS_COLUMNS, *_DETAIL_COLUMNS)
    )
    return np.stack([*values, detail_enlargement(upscale, resolution, TEMPLATES[part.template])])


def _limits_of(measures: pa.Table, limits: SharpnessLimits) -> pa.Table:
    """The sharpness limit of each row: a table with the column SHARPNESS_LIMIT."""
    sharpness, width, height = (np.asarray(measures[name].to_numpy(), np.float64) for name in _SHARPNESS_COLUMNS)
    values = pa.array(limits.of(width, height), mask=np.isnan(sharpness))
    return pa.table({SHARPNESS_LIMIT.name: pa.chunked_array([values])})


def _batches(parts: Sequence[Part]) -> list[list[Part]]:
    """Consecutive parts together, until they hold BATCH_ROWS rows."""
    batches: list[list[Part]] = []
    rows = BATCH_ROWS
    for part in parts:
        if rows >= BATCH_ROWS:
            batches.append([])
            rows = 0
        batches[-1].append(part)
        rows += part.rows
    return batches


def _read(batch: Sequence[Part], columns: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    measures, relations = zip(*(part.tables(columns) for part in batch), strict=True)
    return pa.concat_tables(measures), pa.concat_tables(relations)


def _main_rows(measures: pa.Table, relations: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The main face of each photo, in one chunk."""
    main = relations["main"]
    if pc.all(main).as_py() is False:
        measures, relations = measures.filter(main), relations.filter(main)
    return measures.combine_chunks(), relations.combine_chunks()


def _human_verdicts(image_id: pa.ChunkedArray, overrides: Overrides) -> Codes:
    """(N,) codes of VERDICTS, -1 where no human decided."""
    if not overrides.verdicts:
        return np.full(len(image_id), -1, np.int8)
    index = pc.fill_null(pc.index_in(image_id, pa.array(list(overrides.verdicts), pa.string())), -1).to_numpy()
    codes = np.array([VERDICTS.index(verdict) for verdict in overrides.verdicts.values()], np.int8)
    return np.where(index >= 0, codes[index], np.int8(-1))


def _first(name: str, *tables: pa.Table) -> pa.ChunkedArray:
    """The column of the first table that has it."""
    return next(table[name] for table in tables if name in table.column_names)


def _dictionary(codes: npt.NDArray[np.bool_ | np.int8], values: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(values, pa.string()))


def _lists(flags: Flags, names: Sequence[str]) -> pa.ListArray:
    """(N, K) flags -> for each row the list of names whose flag is set."""
    offsets = np.concatenate([[0], np.cumsum(flags.sum(axis=1))]).astype(np.int32)
    values = pa.array(names, pa.string()).take(pa.array(np.nonzero(flags)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _one_ahead(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield function(item) for each item; the next one is computed on a thread while the caller uses the last."""
    if len(items) == 1:
        yield function(items[0])
        return
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for item in items:
            following = pool.submit(function, item)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()
