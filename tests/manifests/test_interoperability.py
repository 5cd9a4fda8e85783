"""Hugging Face datasets, Polars, DuckDB and pandas read the files without this package, with the right types."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from manifests.examples import DEMO, demo_manifest
from manifests.reader import Dataset, decode_crop, read_table
from manifests.schema import REASONS, arrow_schema
from manifests.writer import write_table
from tests.samples.dataset import EMBEDDER, manifest_rows, write_dataset

PEOPLE = {"ann": 5, "bob": 4, "cid": 7}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("curated")
    write_dataset(root, PEOPLE)
    return Dataset.open(root)


def test_hugging_face_datasets_shows_faces_as_images(dataset: Dataset, tmp_path: Path) -> None:
    import datasets

    files = str(dataset.path / "faces" / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert isinstance(loaded.features["crop"], datasets.Image)
    assert isinstance(loaded.features["mask"], datasets.Image)
    row = loaded[0]
    assert row["crop"].size == (32, 32)
    assert row["mask"].mode == "L"
    assert row["matrix"] == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    stored = dataset.to_pandas(keep=True).set_index("face_id").loc[row["face_id"]]
    assert (np.asarray(row["crop"].convert("RGB")) == decode_crop(dataset.pixels.crop(stored))).all()


@pytest.mark.parametrize("name", ["manifest", "relations", f"embeddings/{EMBEDDER}/b-000", "measures/b-001"])
def test_hugging_face_datasets_reads_the_light_tables(dataset: Dataset, tmp_path: Path, name: str) -> None:
    import datasets

    path = str(dataset.path / f"{name}.parquet")
    loaded = datasets.load_dataset("parquet", data_files=path, split="train", cache_dir=str(tmp_path))
    assert loaded.num_rows == pd.read_parquet(path, columns=["identity"]).shape[0]
    assert loaded[0]["identity"] in PEOPLE


def test_polars_reads_manifest_and_crops(dataset: Dataset) -> None:
    import polars as pl

    manifest = pl.scan_parquet(dataset.path / "manifest.parquet")
    dropped = manifest.filter(pl.col("verdict") == "drop").select("image_id", "reasons").collect()
    assert dropped["reasons"].to_list() == [["no_face"]] * len(PEOPLE)
    kept = manifest.filter(pl.col("verdict") == "keep").collect()
    assert kept.height == sum(PEOPLE.values()) - len(PEOPLE)
    faces = pl.concat([pl.read_parquet(dataset.shard_path("faces", bucket)) for bucket in range(dataset.buckets)])
    crops = dict(zip(faces["face_id"], faces["crop"].struct.field("bytes"), strict=True))
    for row in kept.to_dicts():
        assert crops[row["face_id"]] == dataset.pixels.crop(row)


def test_polars_reads_embeddings(dataset: Dataset) -> None:
    import polars as pl

    path = dataset.shard_path(f"embeddings/{EMBEDDER}", 0)
    vectors = pl.read_parquet(path)["embedding"].to_list()
    assert np.array_equal(np.array(vectors, np.float16), dataset.embeddings(EMBEDDER, 0)[1])


def query_duckdb(query: str) -> list[tuple[Any, ...]]:
    import duckdb

    relation = duckdb.sql(query)
    assert relation is not None
    return relation.fetchall()


def test_duckdb_queries_manifest_and_crops(dataset: Dataset) -> None:
    counts = query_duckdb(f"""
        SELECT unnest(reasons) AS reason, count(*) FROM '{dataset.path}/manifest.parquet' GROUP BY reason
    """)
    assert counts == [("no_face", len(PEOPLE))]
    sizes = query_duckdb(f"""
        SELECT m.crop_length, octet_length(f.crop.bytes), f.matrix[5]
        FROM '{dataset.path}/manifest.parquet' m JOIN '{dataset.path}/faces/*.parquet' f USING (face_id)
    """)
    assert len(sizes) == sum(PEOPLE.values()) - len(PEOPLE)
    assert all(recorded == stored and scale == 1.0 for recorded, stored, scale in sizes)


def test_duckdb_reads_embeddings(dataset: Dataset) -> None:
    path = dataset.shard_path(f"embeddings/{EMBEDDER}", 0)
    rows = query_duckdb(f"SELECT embedding FROM '{path}'")
    assert np.array_equal(np.array([row[0] for row in rows], np.float16), dataset.embeddings(EMBEDDER, 0)[1])


def test_pandas_reads_the_manifest_without_this_package(dataset: Dataset) -> None:
    frame = pd.read_parquet(dataset.path / "manifest.parquet")
    assert frame.loc[frame.verdict == "drop", "reasons"].map(list).tolist() == [["no_face"]] * len(PEOPLE)
    assert frame.loc[frame.verdict == "keep", "sharpness"].eq(0.75).all()


@pytest.fixture(scope="module")
def large_integers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest with nulls, an offset beyond 2**53 and a hash beyond 2**63, which a float64 cannot hold."""
    path = tmp_path_factory.mktemp("integers") / "manifest.parquet"
    rows = manifest_rows(5)
    write_table(path, rows, rows.schema)
    return path


OFFSETS = [2**53 + 1, 2**53 + 2, 2**53 + 3, 2**53 + 4, None]
HASHES = ["8000000000000000", "8000000000000001", "8000000000000002", "8000000000000003", None]


def test_pandas_reads_integers_and_hashes_unchanged(large_integers: Path) -> None:
    frame = pd.read_parquet(large_integers)
    integers = [field.name for field in arrow_schema("manifest") if pa.types.is_integer(field.type)]
    assert {str(frame[name].dtype) for name in integers} <= {"Int64", "Int32", "Int16", "Int8", "int64", "int8"}
    assert frame.crop_offset.dtype == "Int64"
    assert frame.width.dtype == "Int32"
    assert [None if value is pd.NA else value for value in frame.crop_offset] == OFFSETS
    assert frame.phash[:4].tolist() == HASHES[:4]
    assert pd.read_parquet(large_integers, columns=["crop_offset"]).crop_offset.dtype == "Int64"


def test_pandas_groups_and_joins_by_nullable_integers(large_integers: Path) -> None:
    frame = pd.read_parquet(large_integers)
    assert frame.crop_offset.max() == OFFSETS[3]
    assert len(frame.merge(frame[["crop_offset"]].dropna(), on="crop_offset")) == 4


def test_polars_reads_integers_and_hashes_unchanged(large_integers: Path) -> None:
    import polars as pl

    frame = pl.read_parquet(large_integers)
    assert frame["crop_offset"].to_list() == OFFSETS
    assert frame["phash"].to_list() == HASHES


def test_duckdb_reads_integers_and_hashes_unchanged(large_integers: Path) -> None:
    rows = query_duckdb(f"SELECT crop_offset, phash FROM '{large_integers}'")
    assert rows == list(zip(OFFSETS, HASHES, strict=True))


def test_hugging_face_datasets_reads_integers_and_hashes_unchanged(large_integers: Path, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset("parquet", data_files=str(large_integers), split="train", cache_dir=str(tmp_path))
    assert loaded["crop_offset"][:] == OFFSETS
    assert loaded["phash"][:] == HASHES
    assert loaded.features["crop_offset"].dtype == "int64"


def test_the_committed_example_is_up_to_date() -> None:
    committed = read_table(DEMO)
    expected = demo_manifest()
    stale = "the schema or the script has changed: run `python -m manifests.examples`"
    assert committed.schema.metadata == expected.schema.metadata, stale
    assert [field.metadata for field in committed.schema] == [field.metadata for field in expected.schema], stale
    assert committed.equals(expected), stale


def test_the_example_shows_every_verdict_and_most_reasons() -> None:
    frame = pd.read_parquet(DEMO)
    assert set(zip(frame.verdict, frame.verdict_source, strict=True)) == {
        *((verdict, source) for verdict in ("keep", "drop") for source in ("policy", "override")),
        ("review", "policy"),
    }
    assert (frame.keep == (frame.verdict == "keep")).all()
    reasons = set(frame.reasons.explode().dropna())
    assert reasons <= set(REASONS)
    assert len(reasons) >= 10
    assert DEMO.stat().st_size < 100_000
