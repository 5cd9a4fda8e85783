"""manifests/schema.py: every column has a meaning, a unit and a meaning of null; metadata for other readers."""

import json

import pyarrow as pa
import pytest

from manifests.schema import (
    FACES,
    LANDMARKS,
    MANIFEST,
    MEASURES,
    NOT_IN_MANIFEST,
    REASONS,
    RELATIONS,
    SCHEMA_VERSION,
    TABLES,
    VERDICT,
    Column,
    arrow_schema,
    embeddings_schema,
)

COLUMNS = [pytest.param(name, column, id=f"{name}.{column.name}") for name in TABLES for column in TABLES[name]]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_every_column_is_described(table: str, column: Column) -> None:
    field = arrow_schema(table).field(column.name)
    metadata = {key.decode(): value.decode() for key, value in field.metadata.items()}
    assert metadata["meaning"] == column.meaning
    assert len(column.meaning) > 8 or column.unit
    if not pa.types.is_struct(column.dtype):
        assert field.nullable == bool(column.null)
    if column.null:
        assert metadata["null"], "a nullable column describes its null"
    if pa.types.is_floating(column.dtype):
        assert metadata["unit"], "a measure has a unit"


@pytest.mark.parametrize("table", TABLES)
def test_names_are_unique_and_keys_come_first(table: str) -> None:
    names = arrow_schema(table).names
    assert len(set(names)) == len(names)
    assert names[:2] == ["image_id", "identity"]


@pytest.mark.parametrize("table", TABLES)
def test_the_metadata_names_table_and_version(table: str) -> None:
    metadata = arrow_schema(table, {"swapset.fingerprint": "f"}).metadata
    assert metadata[b"swapset.table"] == table.encode()
    assert metadata[b"swapset.schema_version"] == str(SCHEMA_VERSION).encode()
    assert metadata[b"swapset.fingerprint"] == b"f"


def test_the_manifest_holds_every_measure_relation_and_verdict() -> None:
    manifest = {column.name for column in MANIFEST}
    assert {column.name for column in (*MEASURES, *RELATIONS)} - manifest == set(NOT_IN_MANIFEST)
    assert {column.name for column in VERDICT} <= manifest
    assert not any(column.dtype == pa.binary() or pa.types.is_struct(column.dtype) for column in MANIFEST)


def test_one_name_has_one_type_and_meaning_of_null_in_measures_and_manifest() -> None:
    measures = {column.name: column for column in MEASURES}
    for column in MANIFEST:
        assert measures.get(column.name, column) == column


def test_no_value_is_stored_in_two_tables() -> None:
    keys = {"image_id", "identity", "face_id"}
    names = [{column.name for column in table} - keys for table in (MEASURES, FACES, RELATIONS)]
    assert not (names[0] & names[1]) | (names[0] & names[2]) | (names[1] & names[2])


def test_nullable_integers_are_described_for_pandas() -> None:
    schema = arrow_schema("manifest")
    described = {column["name"]: column["numpy_type"] for column in json.loads(schema.metadata[b"pandas"])["columns"]}
    expected = [field.name for field in schema if field.nullable and pa.types.is_integer(field.type)]
    assert list(described) == expected
    assert (described["width"], described["crop_offset"]) == ("Int32", "Int64")


def test_landmarks_are_named_in_the_order_of_the_conventions() -> None:
    assert LANDMARKS[:4] == ("left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y")
    assert LANDMARKS[4:] == ("nose_x", "nose_y", "left_mouth_x", "left_mouth_y", "right_mouth_x", "right_mouth_y")


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
        "undecodable no_face too_small cut_off occluded blurred soft stretched corrupt_pixels too_dark too_bright "
        "other_person uncertain_person second_person mixed_identity duplicate near_duplicate excluded"
    )
