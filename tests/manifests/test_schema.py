"""Every column says what it means; the Arrow schemas carry it, with the version and the Hugging Face features."""

import json

import pyarrow as pa
import pytest

from manifests.schema import (
    FACES,
    MANIFEST,
    MEASURES,
    REASONS,
    RELATIONS,
    SCHEMA_VERSION,
    TABLES,
    VERDICT,
    Column,
    arrow_schema,
    embeddings_schema,
)

EVERY = [pytest.param(name, column, id=f"{name}.{column.name}") for name in TABLES for column in TABLES[name]]


@pytest.mark.parametrize(("table", "column"), EVERY)
def test_every_column_says_what_it_means(table: str, column: Column) -> None:
    field = arrow_schema(table).field(column.name)
    told = {key.decode(): value.decode() for key, value in field.metadata.items()}
    assert told["meaning"] == column.meaning
    assert len(column.meaning) > 8 or column.unit
    if not pa.types.is_struct(column.dtype):
        assert field.nullable == bool(column.null)
    if column.null:
        assert told["null"], "a column that may be null says what null means"
    if pa.types.is_floating(column.dtype):
        assert told["unit"], "a measured number has a unit"


@pytest.mark.parametrize("table", TABLES)
def test_names_are_unique_and_keys_come_first(table: str) -> None:
    names = arrow_schema(table).names
    assert len(set(names)) == len(names)
    assert names[:2] == ["image_id", "identity"]


@pytest.mark.parametrize("table", TABLES)
def test_the_schema_says_its_table_and_version(table: str) -> None:
    metadata = arrow_schema(table, {"swapset.fingerprint": "f"}).metadata
    assert metadata[b"swapset.table"] == table.encode()
    assert metadata[b"swapset.schema_version"] == str(SCHEMA_VERSION).encode()
    assert metadata[b"swapset.fingerprint"] == b"f"


def test_the_manifest_holds_every_measure_relation_and_verdict() -> None:
    manifest = {column.name for column in MANIFEST}
    assert {column.name for column in MEASURES} <= manifest
    assert {column.name for column in RELATIONS} - manifest == {"main", "duplicate_group"}
    assert {column.name for column in VERDICT} <= manifest
    assert not any(column.dtype == pa.binary() or pa.types.is_struct(column.dtype) for column in MANIFEST)


def test_one_name_has_one_type_and_meaning_of_null_in_measures_and_manifest() -> None:
    measures = {column.name: column for column in MEASURES}
    for column in MANIFEST:
        assert measures.get(column.name, column) == column


def test_pixels_follow_the_hugging_face_convention() -> None:
    schema = arrow_schema("faces")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == sorted(column.name for column in FACES)
    assert features["crop"] == features["mask"] == {"_type": "Image"}
    for name in ("crop", "mask"):
        assert [inner.name for inner in schema.field(name).type] == ["bytes", "path"]


@pytest.mark.parametrize("table", ["measures", "relations", "manifest"])
def test_tables_without_pixels_leave_the_features_to_the_reader(table: str) -> None:
    assert b"huggingface" not in arrow_schema(table).metadata


def test_datasets_accepts_the_features() -> None:
    import datasets

    schema = arrow_schema("faces")
    features = datasets.Features.from_arrow_schema(schema)
    assert isinstance(features["crop"], datasets.Image)
    assert features.arrow_schema.types == schema.types


def test_embeddings_are_vectors_of_one_length() -> None:
    vector = embeddings_schema(128).field("embedding").type
    assert (vector.list_size, vector.value_type) == (128, pa.float16())


def test_the_reasons_are_the_closed_vocabulary() -> None:
    assert " ".join(REASONS) == (
        "undecodable no_face too_small blurred stretched corrupt_pixels too_dark too_bright other_person "
        "mixed_identity duplicate near_duplicate excluded"
    )
