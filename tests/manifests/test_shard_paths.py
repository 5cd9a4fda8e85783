"""Paths of shards in a manifest of unknown origin: nothing outside the dataset is opened."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from curate import export, merge
from curate.report import report
from manifests.errors import DatasetError
from manifests.reader import Dataset
from manifests.schema import arrow_schema
from manifests.writer import write_table
from tests.samples.dataset import write_dataset
from train.data.faces import read_training_faces

OUTSIDE = (
    "{outside}/faces/b-000.parquet",
    "../outside/faces/b-000.parquet",
    "faces/../../outside/faces/b-000.parquet",
    "../set/../outside/faces/b-000.parquet",
    "measures/b-000.parquet",
    "faces/more/b-000.parquet",
    "dataset.json",
    "faces/b-000.parquet\0",
    "",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "outside", {"ann": 5}, buckets=1)
    write_dataset(tmp_path / "set", {"ann": 5, "bob": 3}, buckets=1)
    return tmp_path / "set"


def _name_shard(root: Path, shard: str) -> None:
    """Let every row of the manifest name `shard`."""
    table = Dataset.open(root).manifest()
    index = table.schema.get_field_index("shard")
    table = table.set_column(index, table.schema.field(index), pa.array([shard] * len(table), pa.string()))
    write_table(root / "manifest.parquet", table, arrow_schema("manifest"))


def _export(root: Path) -> None:
    export.run(export.plan(export.ExportRequest(root, root.parent / "out", "folder")))


def _merge(root: Path) -> None:
    write_dataset(root.parent / "other", {"cid": 3})
    merge.run(merge.plan(merge.MergeRequest((root, root.parent / "other"), root.parent / "merged")))


READERS: dict[str, Callable[[Path], object]] = {
    "pixels": lambda root: Dataset.open(root).pixels.crop(Dataset.open(root).manifest(keep=True).to_pylist()[0]),
    "embeddings": lambda root: Dataset.open(root).embeddings_for(Dataset.open(root).manifest(keep=True)),
    "training": lambda root: read_training_faces(Dataset.open(root), "simswap-224"),
    "export": _export,
    "merge": _merge,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shard", OUTSIDE)
def test_a_shard_outside_the_dataset_is_not_opened(root: Path, reader: str, shard: str) -> None:
    _name_shard(root, shard.format(outside=root.parent / "outside"))
    with pytest.raises(DatasetError, match=r"which is not in faces/ of this dataset or of one of its parts"):
        READERS[reader](root)
    assert not list(root.parent.glob("out/faces/**/*.jpg"))


def test_the_report_does_not_show_pictures_from_outside(root: Path) -> None:
    _name_shard(root, "../outside/faces/b-000.parquet")
    with pytest.raises(DatasetError, match="is not opened"):
        report.PictureFolder(Dataset.open(root), root).add(Dataset.open(root).manifest().to_pylist()[0])


def test_the_shards_of_a_part_are_read_through_a_link_to_the_merged_dataset(root: Path) -> None:
    _merge(root)
    (root.parent / "far").mkdir()
    link = root.parent / "far" / "link"
    link.symlink_to(root.parent / "merged")
    merged = Dataset.open(link)
    rows = merged.manifest(keep=True)
    assert all(merged.pixels.crop(row) for row in rows.to_pylist())
    assert len(merged.embeddings_for(rows)) == len(rows)
