"""`curate.relate.run` on a dataset on disk."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curate import cleaning, relate
from curate.errors import DatasetError, SourceError
from curate.measure import MeasureRequest
from manifests.reader import Dataset
from manifests.schema import arrow_schema
from tests.samples.dataset import EMBEDDER, write_dataset
from tests.samples.listener import Recorder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_dataset(tmp_path, {"anna": 4, "bert": 3, "carl": 5}, buckets=2)
    (tmp_path / "relations.parquet").unlink()
    return tmp_path


def test_relations_have_one_row_group_per_bucket_and_the_rows_of_the_measures(dataset: Path) -> None:
    related = relate.run(relate.RelateRequest(dataset))
    relations = pq.ParquetFile(dataset / "relations.parquet")
    assert relations.schema_arrow.equals(arrow_schema("relations"))
    assert relations.num_row_groups == 2
    for bucket in range(2):
        rows, measures = relations.read_row_group(bucket), Dataset.open(dataset).measures(bucket, ["face_id"])
        assert rows["face_id"].equals(measures["face_id"])
    assert sorted(related.names) == ["anna", "bert", "carl"]


def test_every_pass_is_a_step_over_all_shards(dataset: Path) -> None:
    listener = Recorder()
    relate.run(relate.RelateRequest(dataset), listener)
    assert len(listener.steps) == 6
    assert all((step.total, step.done, step.unit, step.finished) == (2, 2, "shards", True) for step in listener.steps)


def test_embeddings_of_other_faces_are_refused(dataset: Path) -> None:
    first, second = sorted((dataset / "embeddings" / EMBEDDER).iterdir())
    first.write_bytes(second.read_bytes())
    with pytest.raises(DatasetError, match=f"embeddings {EMBEDDER} of bucket 0 are of other faces.*curate measure"):
        relate.run(relate.RelateRequest(dataset))


def test_a_gallery_needs_the_models_of_the_dataset(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not record its models"):
        relate.run(relate.RelateRequest(dataset, exclude=(tmp_path,)))


def test_relating_twice_gives_the_same_bytes(dataset: Path) -> None:
    relate.run(relate.RelateRequest(dataset))
    before = (dataset / "relations.parquet").read_bytes()
    relate.run(relate.RelateRequest(dataset))
    assert (dataset / "relations.parquet").read_bytes() == before


def test_a_missing_gallery_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    request = MeasureRequest(layout="folder", root=tmp_path, out=tmp_path / "out")
    with pytest.raises(SourceError, match=r"--exclude .*nowhere does not exist: give a folder of photos"):
        cleaning.clean(request, exclude=(tmp_path / "nowhere",))
