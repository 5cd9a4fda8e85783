"""Deciding a dataset on disk: what is written, in which order, and what is refused."""

import pyarrow.parquet as pq
import pytest

from curate.decide.decide import Decided, DecideRequest, run
from curate.decide.footer import applied_policy, limit_groups
from curate.decide.rules import Policy
from curate.errors import BusyError, DatasetError
from manifests.layout import POLICY, POLICY_HASH
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.table_file import footer
from manifests.writer import write_table
from tests.samples.listener import Recorder, Step
from tests.samples.photos import related_dataset, tables

COPY = {"duplicate_group": 7}


def test_a_dataset_is_decided_with_copies_across_buckets(tmp_path):
    far = {**COPY, "image_id": "bert/0.jpg", "identity": "bert", "own_similarity": 0.9}
    out = related_dataset(tmp_path, [{**COPY}, {"sharpness": 0.1}], [far])
    (tmp_path / "overrides.csv").write_text("image_id,verdict\nanna/1.jpg,keep\ngone.jpg,drop\n")
    result = run(DecideRequest(out))
    rows = Dataset.open(out).manifest().to_pylist()
    assert [(row["image_id"], row["verdict"], row["duplicate_of"]) for row in rows] == [
        ("anna/0.jpg", "drop", "bert/0.jpg"),
        ("anna/1.jpg", "keep", None),
        ("bert/0.jpg", "keep", None),
    ]
    assert result == Decided(3, 2, 0, 1, False, result.reasons, result.warnings)
    assert (result.reasons["duplicate"], result.reasons["blurred"], result.reasons["stretched"]) == (1, 1, 0)
    assert result.warnings == ["overrides.csv, line 3: no photo 'gone.jpg' in this dataset; the line has no effect"]


def test_progress_counts_every_face(tmp_path):
    recorder = Recorder()
    run(DecideRequest(related_dataset(tmp_path, [{}], [{}, {}])), recorder)
    assert recorder.steps == [Step("deciding", 3, "faces", done=3, finished=True)]


def test_the_footer_records_the_policy_and_the_bytes_are_reproducible(tmp_path):
    out = related_dataset(tmp_path, [{"sharpness": 0.4}])
    run(DecideRequest(out))
    first = (out / "manifest.parquet").read_bytes()
    metadata = footer(out / "manifest.parquet")
    assert metadata[POLICY] == Policy().canonical_json()
    assert metadata[POLICY_HASH] == Policy().sha256() == Dataset.open(out).policy_hash()
    assert applied_policy(metadata).min_sharpness == 0.41
    (group,) = limit_groups(metadata)
    assert group.reason() == "photos of other sizes: 0.41, as the policy says: 1 face is too few to adapt it"
    assert (out / "overrides.csv").read_text() == "image_id,verdict,note,identity,other\n"
    run(DecideRequest(out))
    assert (out / "manifest.parquet").read_bytes() == first


def test_relations_of_other_measures_are_refused(tmp_path):
    out = related_dataset(tmp_path, [{}], [{}])
    other = tables({"image_id": "carl/0.jpg"})[1]
    write_table(out / "relations.parquet", iter([other, other]), other.schema)
    with pytest.raises(DatasetError, match=r"was computed from other measures .*run `curate relate` again"):
        run(DecideRequest(out))
    write_table(out / "relations.parquet", other, other.schema)
    with pytest.raises(DatasetError, match="1 row groups for 2 buckets"):
        run(DecideRequest(out))


def test_a_dataset_that_another_process_writes_into_is_busy(tmp_path):
    out = related_dataset(tmp_path, [{}])
    with OutputLock(out), pytest.raises(BusyError):
        run(DecideRequest(out))


def test_an_empty_bucket_changes_nothing(tmp_path):
    assert run(DecideRequest(related_dataset(tmp_path, [], [{}]))).photos == 1
    assert Dataset.open(tmp_path).manifest(["image_id"])["image_id"].to_pylist() == ["anna/0.jpg"]


def test_small_buckets_share_a_row_group_of_the_manifest(tmp_path, monkeypatch):
    out = related_dataset(tmp_path, [{}], [{}], [{}])
    run(DecideRequest(out))
    assert pq.ParquetFile(out / "manifest.parquet").num_row_groups == 1
    monkeypatch.setattr("curate.decide.collection.BATCH_ROWS", 1)
    run(DecideRequest(out))
    assert pq.ParquetFile(out / "manifest.parquet").num_row_groups == 3
