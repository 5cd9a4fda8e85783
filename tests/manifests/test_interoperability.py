"""What other tools make of the files: Hugging Face datasets, Polars, DuckDB and pandas read them as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from manifests.examples import DEMO, demo_manifest
from manifests.reader import Dataset, decode_crop, read_table
from manifests.schema import REASONS
from tests.samples.dataset import EMBEDDER, write_dataset

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
    assert row["box"] == [1.0, 2.0, 30.0, 31.5]
    stored = dataset.to_pandas(verdict="keep").set_index("face_id").loc[row["face_id"]]
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


def _rows(query: str) -> list[tuple[Any, ...]]:
    import duckdb

    found = duckdb.sql(query)
    assert found is not None
    return found.fetchall()


def test_duckdb_queries_manifest_and_crops(dataset: Dataset) -> None:
    counts = _rows(f"""
        SELECT unnest(reasons) AS reason, count(*) FROM '{dataset.path}/manifest.parquet' GROUP BY reason
    """)
    assert counts == [("no_face", len(PEOPLE))]
    sizes = _rows(f"""
        SELECT m.crop_length, octet_length(f.crop.bytes), f.landmarks[10]
        FROM '{dataset.path}/manifest.parquet' m JOIN '{dataset.path}/faces/*.parquet' f USING (face_id)
    """)
    assert len(sizes) == sum(PEOPLE.values()) - len(PEOPLE)
    assert all(told == stored and last == 9.0 for told, stored, last in sizes)


def test_duckdb_reads_embeddings(dataset: Dataset) -> None:
    path = dataset.shard_path(f"embeddings/{EMBEDDER}", 0)
    rows = _rows(f"SELECT embedding FROM '{path}'")
    assert np.array_equal(np.array([row[0] for row in rows], np.float16), dataset.embeddings(EMBEDDER, 0)[1])


def test_pandas_reads_the_manifest_without_this_package(dataset: Dataset) -> None:
    frame = pd.read_parquet(dataset.path / "manifest.parquet")
    assert frame.loc[frame.verdict == "drop", "reasons"].map(list).tolist() == [["no_face"]] * len(PEOPLE)
    assert frame.loc[frame.verdict == "keep", "sharpness"].eq(0.75).all()


def test_the_committed_example_is_what_its_script_makes() -> None:
    found = read_table(DEMO)
    expected = demo_manifest()
    stale = "the schema or the script has changed: run `python -m manifests.examples`"
    assert found.schema.metadata == expected.schema.metadata, stale
    assert [field.metadata for field in found.schema] == [field.metadata for field in expected.schema], stale
    assert found.equals(expected), stale


def test_the_example_shows_every_verdict_and_most_reasons() -> None:
    frame = pd.read_parquet(DEMO)
    assert set(zip(frame.verdict, frame.verdict_source, strict=True)) == {
        (verdict, source) for verdict in ("keep", "drop") for source in ("policy", "override")
    }
    reasons = set(frame.reasons.explode().dropna())
    assert reasons <= set(REASONS)
    assert len(reasons) >= 10
    assert DEMO.stat().st_size < 100_000
