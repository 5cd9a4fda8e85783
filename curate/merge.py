"""Several curated datasets -> one manifest that refers to their shards; no pixel is copied."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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
from manifests.output import OutputLock, remove_partials
from manifests.reader import Dataset, footer
from manifests.schema import NO_IDENTITY, arrow_schema
from manifests.writer import write_table

_PHOTOS = ("image_id", "face_id", "duplicate_of")
_PEOPLE = ("identity", "nearest_identity", "suggested_identity", "same_person_as")


@dataclass(frozen=True)
class Merged:
    """What `merge` wrote: photos in all, photos kept, and photos dropped as copies of an earlier dataset's."""

    photos: int
    kept: int
    duplicates: int


def merge(datasets: Sequence[Path], out: Path, join_identities: bool = False) -> Merged:
    """Write to directory `out` one dataset made of `datasets`, which stay where and as they are.

    Photos are renamed `<dataset's folder>/<image_id>`, people `<dataset's folder>/<identity>`; with `join_identities`
    people keep their names, and one name in two datasets is one person (the rows are then sorted again in memory: about
    1.5 GB per million photos). Verdicts are taken as they are; only a kept photo whose file an earlier one keeps too
    (same sha256) is dropped as its duplicate, unless a human decided. To decide anew, decide the parts, merge again.

    Raises DatasetError: fewer than two, two of one name, no manifest, or parts of another template or embedder, whose
    crops and numbers do not go together. OutputError: `out` holds something else, or cannot be written.
    """
    parts = _opened(datasets)
    _check_alike(parts)
    _check_out(out, parts)
    tally = {"photos": 0, "kept": 0, "duplicates": 0}
    policies = [(name, footer(part.path / MANIFEST) or {}) for name, part in parts.items()]
    hashes = json.dumps([[name, policy.get(POLICY_HASH)] for name, policy in policies] + [join_identities])
    told = {
        POLICY: json.dumps({name: policy.get(POLICY) for name, policy in policies}),
        POLICY_HASH: hashlib.sha256(hashes.encode()).hexdigest(),
    }
    with OutputLock(out):
        remove_partials(out)
        rows = _counted(_together(parts, out, join_identities, tally), tally)
        write_table(out / MANIFEST, _sorted(rows) if join_identities else rows, arrow_schema("manifest"), told)
        # The description comes last: without it the directory is no dataset, and a killed merge is simply repeated.
        write_info(out, _describe(parts, out, join_identities))
    return Merged(tally["photos"], tally["kept"], tally["duplicates"])


def _opened(datasets: Sequence[Path]) -> dict[str, Dataset]:
    if len(datasets) < 2:
        raise DatasetError(f"merging takes two datasets or more, got {len(datasets)}")
    parts: dict[str, Dataset] = {}
    for path in datasets:
        name = path.resolve().name
        if name in parts:
            raise DatasetError(
                f"two datasets are named {name!r} ({parts[name].path} and {path}), and photos are told apart by that "
                "name: rename one of the folders"
            )
        parts[name] = Dataset.open(path)
        parts[name].manifest(["image_id"])
    return parts


def _check_alike(parts: dict[str, Dataset]) -> None:
    (first, one), *others = parts.items()
    for name, part in others:
        for what, mine, its in (
            ("template", one.info.template, part.info.template),
            ("embedder", one.info.embedder_id, part.info.embedder_id),
        ):
            if mine != its:
                raise DatasetError(
                    f"{first} and {name} differ in their {what}: {mine} and {its}. Their "
                    f"{'crops' if what == 'template' else 'similarities'} do not compare: measure one of them again "
                    "with the other's settings, then merge"
                )


def _check_out(out: Path, parts: dict[str, Dataset]) -> None:
    if (out / INFO).exists() and not read_info(out).parts:
        raise OutputError(f"{out} holds a dataset that is not a merged one: choose another --out")
    if out.resolve() in {part.path.resolve() for part in parts.values()}:
        raise OutputError(f"{out} is one of the datasets to merge: choose another --out")


def _together(parts: dict[str, Dataset], out: Path, join: bool, tally: dict[str, int]) -> Iterator[pa.Table]:
    """The row groups of all parts, renamed, their shards named from `out`, copies of earlier parts' photos dropped."""
    kept_sha, kept_ids = pa.array([], pa.string()), pa.array([], pa.string())
    for name, part in parts.items():
        mine: list[pa.Table] = []
        source = pq.ParquetFile(part.path / MANIFEST)
        for group in range(source.num_row_groups):
            table = _renamed(source.read_row_group(group), name, join)
            table = _put(table, "shard", _moved(table["shard"], part.path, out))
            table, copies = _without_copies(table, kept_sha, kept_ids)
            tally["duplicates"] += copies
            mine.append(table.filter(_is(table, "verdict", "keep")).select(["sha256", "image_id"]))
            yield table
        kept_sha = pa.concat_arrays([kept_sha, *(chunk for t in mine for chunk in t["sha256"].chunks)])
        kept_ids = pa.concat_arrays([kept_ids, *(chunk for t in mine for chunk in t["image_id"].chunks)])


def _renamed(table: pa.Table, name: str, join: bool) -> pa.Table:
    for column in (*_PHOTOS, *(() if join else _PEOPLE)):
        names = pc.binary_join_element_wise(name, table[column], "/")
        # "." claims no person, in the merged dataset as little as in its part.
        table = _put(table, column, pc.if_else(pc.equal(table[column], NO_IDENTITY), NO_IDENTITY, names))
    return table


def _moved(shards: pa.ChunkedArray, part: Path, out: Path) -> pa.ChunkedArray:
    """Shard names relative to `part` -> relative to `out`."""
    coded = shards.combine_chunks().dictionary_encode()
    names = [os.path.relpath((part / shard).resolve(), out.resolve()) for shard in coded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(names, pa.string()).take(coded.indices)])


def _without_copies(table: pa.Table, kept_sha: pa.Array, kept_ids: pa.Array) -> tuple[pa.Table, int]:
    at = pc.index_in(table["sha256"], pc.drop_null(kept_sha))
    by_policy = pc.and_(_is(table, "verdict", "keep"), pc.invert(_is(table, "verdict_source", "override")))
    copies = pc.and_(pc.is_valid(at), by_policy)
    count = int(pc.sum(copies).as_py() or 0)
    if count:
        drop = {"verdict": "drop", "duplicate_kind": "exact", "duplicate_of": kept_ids.take(at.combine_chunks())}
        for name, value in drop.items():
            table = _put(table, name, pc.if_else(copies, value, table[name].cast(pa.string())))
        reason = pa.scalar(["duplicate"], table.schema.field("reasons").type)
        table = _put(table, "reasons", pc.if_else(copies, reason, table["reasons"])).cast(arrow_schema("manifest"))
    return table, count


def _counted(tables: Iterator[pa.Table], tally: dict[str, int]) -> Iterator[pa.Table]:
    for table in tables:
        tally["photos"] += table.num_rows
        tally["kept"] += int(pc.sum(_is(table, "verdict", "keep")).as_py() or 0)
        yield table


def _sorted(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """All rows by person and photo, in row groups of whole people of some 100,000 rows."""
    table = pa.concat_tables(tables).unify_dictionaries()
    table = table.sort_by([("identity", "ascending"), ("image_id", "ascending")])
    people = pc.run_end_encode(table["identity"].combine_chunks())
    start = 0
    for end in np.asarray(people.run_ends).tolist():
        if end - start >= 100_000 or end == table.num_rows:
            yield table.slice(start, end - start)
            start = end


def _describe(parts: dict[str, Dataset], out: Path, join: bool) -> DatasetInfo:
    first = next(iter(parts.values())).info
    return DatasetInfo(
        source=SourceRecord("merge", join_identities=join),
        settings=SettingsRecord(first.template),
        models=ModelsRecord(first.models.embedder),
        buckets=0,
        parts={name: os.path.relpath(part.path.resolve(), out.resolve()) for name, part in parts.items()},
    )


def _is(table: pa.Table, column: str, word: str) -> pa.ChunkedArray:
    return pc.equal(table[column].cast(pa.string()), word)


def _put(table: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    index = table.schema.get_field_index(column)
    return table.set_column(index, table.schema.field(index).with_type(values.type), values)
