"""One manifest of several datasets, which refers to their shards: `MergeRequest` -> `plan` -> `run`."""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.counts import counted
from curate.decide.check import Finding
from curate.decide.checks import findings
from curate.decide.collection_numbers import CollectionTally
from curate.decide.footer import findings_footer
from curate.lineage import made_from, require_current
from curate.listener import SILENT, Listener, progress
from manifests.errors import DatasetError, OutputError
from manifests.layout import (
    INFO,
    MANIFEST,
    POLICY,
    POLICY_HASH,
    DatasetInfo,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    read_info,
    write_info,
)
from manifests.output import OutputLock, remove_results
from manifests.reader import Dataset
from manifests.schema import NO_IDENTITY, REASONS, VERDICTS, arrow_schema
from manifests.table_file import TableFile
from manifests.writer import write_table

_PHOTO_COLUMNS = ("image_id", "face_id", "duplicate_of")
_IDENTITY_COLUMNS = ("identity", "source_identity", "nearest_identity", "suggested_identity", "same_person_as")
_MIN_GROUP_ROWS = 100_000
"""A row group of joined identities has whole identities, and this many rows unless it is the last."""


@dataclass(frozen=True)
class MergeRequest:
    """The datasets to merge.

    Attributes:
        datasets: directories of two or more datasets, merged ones included; they are only read.
        out: directory of the merged dataset: new, or a merged dataset to replace.
        join_identities: whether equal identity names of two datasets are the same person. The rows are then sorted
            again in memory, about 1.5 GB per million photos.
    """

    datasets: tuple[Path, ...]
    out: Path
    join_identities: bool = False


@dataclass(frozen=True)
class MergePlan:
    """A request whose datasets exist and go together, by name: the name of a dataset is that of its folder."""

    request: MergeRequest
    parts: dict[str, Dataset]


@dataclass(frozen=True)
class Merged:
    """Number of photos, of those of each verdict, and of photos dropped as copies of an earlier dataset's.

    findings: what the checks found off in the merged collection.
    """

    photos: int
    kept: int
    review: int
    dropped: int
    duplicates: int
    findings: tuple[Finding, ...] = ()

    def summary(self) -> str:
        """Describe the result in one line."""
        copies = f", {self.duplicates:,} of them duplicates of another dataset's photos" if self.duplicates else ""
        photos = counted(self.photos, "photo")
        return f"{photos}: keep {self.kept:,}, review {self.review:,}, drop {self.dropped:,}{copies}"


def plan(request: MergeRequest) -> MergePlan:
    """Open the datasets and compare them. Writes nothing.

    Raises:
        DatasetError: fewer than two datasets, two of one name, one without a manifest or out of date, or datasets of
            another template or embedder, whose crops or similarities do not compare.
        OutputError: `out` is one of the datasets, or a dataset that is not a merged one.
    """
    parts = _open(request.datasets)
    _check_comparable(parts)
    if (request.out / INFO).exists() and not read_info(request.out).parts:
        raise OutputError(f"{request.out} holds a dataset that is not a merged one: choose another --out")
    if request.out.resolve() in {part.path.resolve() for part in parts.values()}:
        raise OutputError(f"{request.out} is one of the datasets to merge: choose another --out")
    return MergePlan(request, parts)


def run(merge_plan: MergePlan, listener: Listener = SILENT) -> Merged:
    """Write the manifest of all parts to the output directory.

    A photo is renamed `<name>/<image_id>`, a person `<name>/<identity>` unless identities are joined. Verdicts are
    copied; only a photo that training would use (column keep) and whose file it uses of an earlier part too (same
    sha256) is dropped as its duplicate, unless a person decided it. To decide again, decide the parts and merge again.

    Raises OutputError where the output cannot be written, BusyError where another run works on it.
    """
    request, parts = merge_plan.request, merge_plan.parts
    counts = _Counts()
    tally = CollectionTally(REASONS)
    found: list[Finding] = []

    def check() -> dict[str, str]:
        ignored = Counter[str]()
        for part in parts.values():
            ignored.update(part.info.source.ignored)
        found.extend(findings(tally.numbers(math.nan, ignored)))
        return findings_footer(found)

    total = sum(TableFile(part.path / MANIFEST).rows for part in parts.values())
    with OutputLock(request.out), progress(listener, "merging", total) as advance:
        tables = _count(_merge(merge_plan, counts), counts, advance)
        if request.join_identities:
            tables = _sort(tables)
        info = _info(merge_plan)
        if (request.out / INFO).exists() and read_info(request.out) != info:
            remove_results(request.out / INFO)  # of an earlier merge, of other datasets
        tables = _tallied(tables, tally)
        write_table(request.out / MANIFEST, tables, arrow_schema("manifest"), _footer(merge_plan), check)
        # dataset.json comes last: without it the directory is no dataset, and an interrupted merge is repeated.
        write_info(request.out, info)
    kept, review, dropped = (counts.verdicts[verdict] for verdict in VERDICTS)
    return Merged(sum(counts.verdicts.values()), kept, review, dropped, counts.duplicates, tuple(found))


@dataclass
class _Counts:
    verdicts: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0


def _open(datasets: tuple[Path, ...]) -> dict[str, Dataset]:
    if len(datasets) < 2:
        raise DatasetError(f"merging takes two datasets or more, got {len(datasets)}")
    parts: dict[str, Dataset] = {}
    for path in datasets:
        name = path.resolve().name
        if name in parts:
            raise DatasetError(
                f"two datasets are named {name!r} ({parts[name].path} and {path}), and their photos are distinguished "
                "by that name: rename one of the folders"
            )
        parts[name] = Dataset.open(path)
        require_current(parts[name])
    return parts


def _check_comparable(parts: dict[str, Dataset]) -> None:
    (first, reference), *others = parts.items()
    for name, part in others:
        if part.info.template != reference.info.template:
            difference = f"template: {reference.info.template} and {part.info.template}. Their crops"
        elif part.info.embedder_id != reference.info.embedder_id:
            difference = f"embedder: {reference.info.embedder_id} and {part.info.embedder_id}. Their similarities"
        else:
            continue
        raise DatasetError(
            f"{first} and {name} differ in their {difference} do not compare: measure one of them again with the "
            "other's settings, then merge"
        )


def _footer(merge_plan: MergePlan) -> dict[str, str]:
    """Return the policies of all parts, and a hash of them and of the way of merging."""
    manifests = {name: TableFile(part.path / MANIFEST) for name, part in merge_plan.parts.items()}
    footers = {name: manifest.metadata for name, manifest in manifests.items()}
    hashes = [[name, metadata.get(POLICY_HASH)] for name, metadata in footers.items()]
    text = json.dumps([*hashes, merge_plan.request.join_identities])
    return {
        POLICY: json.dumps({name: metadata.get(POLICY) for name, metadata in footers.items()}),
        POLICY_HASH: hashlib.sha256(text.encode()).hexdigest(),
        **made_from(**{name: manifest.digest for name, manifest in manifests.items()}),
    }


def _info(merge_plan: MergePlan) -> DatasetInfo:
    request, parts = merge_plan.request, merge_plan.parts
    first = next(iter(parts.values())).info
    return DatasetInfo(
        source=SourceRecord("merge", join_identities=request.join_identities),
        settings=SettingsRecord(first.template),
        models=ModelsRecord(first.models.embedder),
        buckets=0,
        parts={name: os.path.relpath(part.path.resolve(), request.out.resolve()) for name, part in parts.items()},
    )


def _merge(merge_plan: MergePlan, counts: _Counts) -> Iterator[pa.Table]:
    """Yield the row groups of all parts: renamed, shards relative to the output, copies of earlier photos dropped."""
    request = merge_plan.request
    kept_sha256, kept_ids = pa.array([], pa.string()), pa.array([], pa.string())
    for name, part in merge_plan.parts.items():
        kept: list[pa.Table] = []
        manifest = TableFile(part.path / MANIFEST)
        for group in range(manifest.row_groups):
            table = _rename(manifest.read(group=group), name, request.join_identities)
            table = _set(table, "shard", _relocate(table["shard"], part, request.out))
            table, duplicates = _drop_copies(table, kept_sha256, kept_ids)
            counts.duplicates += duplicates
            kept.append(table.filter(table["keep"]).select(["sha256", "image_id"]))
            yield table
        kept_sha256 = pa.concat_arrays([kept_sha256, *(chunk for rows in kept for chunk in rows["sha256"].chunks)])
        kept_ids = pa.concat_arrays([kept_ids, *(chunk for rows in kept for chunk in rows["image_id"].chunks)])


def _rename(table: pa.Table, name: str, join_identities: bool) -> pa.Table:
    for column in (*_PHOTO_COLUMNS, *(() if join_identities else _IDENTITY_COLUMNS)):
        renamed = pc.binary_join_element_wise(name, table[column], "/")
        table = _set(table, column, pc.if_else(pc.equal(table[column], NO_IDENTITY), NO_IDENTITY, renamed))
    return table


def _relocate(shards: pa.ChunkedArray, part: Dataset, out: Path) -> pa.ChunkedArray:
    """Convert shard paths relative to `part` to paths relative to `out`."""
    encoded = shards.combine_chunks().dictionary_encode()
    files = (part.shard_file(shard) for shard in encoded.dictionary.to_pylist())
    paths = [os.path.relpath(file, out.resolve()) for file in files]
    return pa.chunked_array([pa.array(paths, pa.string()).take(encoded.indices)])


def _drop_copies(table: pa.Table, kept_sha256: pa.Array, kept_ids: pa.Array) -> tuple[pa.Table, int]:
    """Drop photos that the policy uses and an earlier part uses too; return their number as well."""
    index = pc.index_in(table["sha256"], pc.drop_null(kept_sha256))
    by_policy = pc.and_(table["keep"], pc.invert(_equals(table, "verdict_source", "override")))
    copies = pc.and_(pc.is_valid(index), by_policy)
    count = int(pc.sum(copies).as_py() or 0)
    if count:
        values = {"verdict": "drop", "duplicate_kind": "exact", "duplicate_of": kept_ids.take(index.combine_chunks())}
        for name, value in values.items():
            table = _set(table, name, pc.if_else(copies, value, table[name].cast(pa.string())))
        table = _set(table, "keep", pc.and_(table["keep"], pc.invert(copies)))
        reasons = pa.scalar(["duplicate"], table.schema.field("reasons").type)
        table = _set(table, "reasons", pc.if_else(copies, reasons, table["reasons"])).cast(arrow_schema("manifest"))
    return table, count


def _count(tables: Iterator[pa.Table], counts: _Counts, advance: Callable[[int], None]) -> Iterator[pa.Table]:
    for table in tables:
        verdicts = pc.value_counts(table["verdict"].cast(pa.string())).to_pylist()
        counts.verdicts.update({entry["values"]: entry["counts"] for entry in verdicts})
        yield table
        advance(table.num_rows)


def _tallied(tables: Iterator[pa.Table], tally: CollectionTally) -> Iterator[pa.Table]:
    for table in tables:
        tally.add(table)
        yield table


def _sort(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Sort all rows by identity and photo; yield tables of whole identities."""
    table = pa.concat_tables(tables).unify_dictionaries()
    table = table.sort_by([("identity", "ascending"), ("image_id", "ascending")])
    identities = pc.run_end_encode(table["identity"].combine_chunks())
    start = 0
    for end in np.asarray(identities.run_ends).tolist():
        if end - start >= _MIN_GROUP_ROWS or end == table.num_rows:
            yield table.slice(start, end - start)
            start = end


def _equals(table: pa.Table, column: str, text: str) -> pa.ChunkedArray:
    return pc.equal(table[column].cast(pa.string()), text)


def _set(table: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    index = table.schema.get_field_index(column)
    return table.set_column(index, table.schema.field(index).with_type(values.type), values)
