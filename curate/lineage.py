"""Lineage: every table records the digests of what it was made from, and a table that is out of date is refused.

    faces <- measures <- embeddings        shard by shard, recorded by `measure`
    measures, embeddings <- relations      recorded by `relate`, with its revision and settings
    relations, overrides.csv <- manifest   recorded by `decide`, beside the hash of policy and calibration
    manifests of the parts <- manifest     recorded by `merge`

A digest identifies the contents of a file (`manifests.checksums`), so rows of equal names do not hide other numbers.
Where an input is not there, as in a copy of the manifest and the crops alone, there is nothing to compare.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from curate.fingerprint import fingerprint
from curate.relate import REVISION
from manifests.errors import DatasetError
from manifests.layout import MANIFEST, RELATIONS
from manifests.reader import Dataset
from manifests.records import InvalidRecordError, parse_record
from manifests.table_file import TableFile

_OPENING_THREADS = 16  # an object store answers each request after tens of milliseconds

MADE_FROM = "swapset.made_from"
"""Footer key: JSON object, name of an input -> its digest."""


def made_from(**inputs: str) -> dict[str, str]:
    """Return the footer entry of a table that is made from `inputs`, name -> digest."""
    return {MADE_FROM: json.dumps(inputs, sort_keys=True)}


def is_made_from(metadata: Mapping[str, str], **inputs: str) -> bool:
    """Whether a table with this footer was made from these inputs; True for those that it does not record."""
    try:
        recorded = parse_record(metadata.get(MADE_FROM, "{}"), dict[str, str])
    except InvalidRecordError:
        return False
    return all(recorded.get(name, digest) == digest for name, digest in inputs.items())


def measured_inputs(dataset: Dataset, embedder_id: str) -> dict[str, str]:
    """Return the inputs of `relations.parquet` as they are now, for `made_from`; reads the footers of all shards.

    A family that lacks a shard is left out. Raises DatasetError where a shard is damaged, or was made from other faces.
    """
    families = {"faces": "faces", "measures": "measures", "embeddings": f"embeddings/{embedder_id}"}
    digests: dict[str, list[str]] = {family: [] for family in families}

    def digests_of(bucket: int) -> dict[str, str]:
        paths = {name: dataset.shard_path(family, bucket) for name, family in families.items()}
        tables = {name: TableFile(path) for name, path in paths.items() if path.exists()}
        for name, source in (("measures", "faces"), ("embeddings", "measures")):
            if {name, source} <= tables.keys():
                table, digest = tables[name], tables[source].digest
                if not is_made_from(table.metadata, **{source: digest}):
                    raise DatasetError(f"{table.path} was made from other {source}: {measure_again(dataset)}")
        return {name: table.digest for name, table in tables.items()}

    with ThreadPoolExecutor(_OPENING_THREADS) as pool:
        for stored in pool.map(digests_of, range(dataset.buckets)):
            for name, digest in stored.items():
                digests[name].append(digest)
    whole = {name: values for name, values in digests.items() if name != "faces" and len(values) == dataset.buckets}
    return {name: fingerprint(values) for name, values in whole.items()} | {"embedder": embedder_id}


def require_relations(dataset: Dataset, relations: TableFile) -> None:
    """Raise DatasetError where the relations were computed from other tables than those here, or by other code."""
    relate = f"run `curate relate {dataset.path}`, then `curate decide {dataset.path}`"
    if not is_made_from(relations.metadata, embedder=dataset.info.embedder_id):
        raise DatasetError(f"{relations.path} was computed from embeddings of another embedder: {relate}")
    if not is_made_from(relations.metadata, **measured_inputs(dataset, dataset.info.embedder_id)):
        raise DatasetError(f"{relations.path} was computed from other measures or embeddings: {relate}")
    if not is_made_from(relations.metadata, revision=str(REVISION)):
        raise DatasetError(f"{relations.path} was computed by another version of swapset: {relate}")


def require_current(dataset: Dataset) -> None:
    """Raise DatasetError where the manifest is out of date, with the command that brings it up to date.

    For whatever is made of the manifest: reports, exports, merges, training data.
    """
    from curate.overrides import FILE_NAME, read_overrides

    manifest = TableFile(dataset.path / MANIFEST)
    if dataset.parts:
        for name, path in dataset.parts.items():
            part = Dataset.open(path)
            require_current(part)
            if not is_made_from(manifest.metadata, **{name: TableFile(path / MANIFEST).digest}):
                raise DatasetError(
                    f"{path} was decided again after {manifest.path} was merged: run `curate merge` with the same "
                    "datasets again"
                )
        return
    decide = f"run `curate decide {dataset.path}` with the same policy"
    relations = dataset.path / RELATIONS
    if relations.exists():
        file = TableFile(relations)
        require_relations(dataset, file)
        if not is_made_from(manifest.metadata, relations=file.digest):
            raise DatasetError(f"{manifest.path} was decided from other relations: {decide}")
    overrides = dataset.path / FILE_NAME
    if overrides.exists() and not is_made_from(manifest.metadata, overrides=read_overrides(overrides).fingerprint()):
        raise DatasetError(f"{overrides} was changed after {manifest.path} was decided: {decide}")


def measure_again(dataset: Dataset) -> str:
    """Name the command that measures the shards that are missing, damaged or out of date, and no others."""
    source = dataset.info.source
    root = f" --root {source.root}" if source.root else ""
    return f"run `curate clean {source.kind}{root} --out {dataset.path}` with the options used before"
