"""manifests/reader.py, pixels.py: tables, embeddings and pixels of a dataset; missing and damaged files are named."""

import json
import multiprocessing
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from manifests.errors import DatasetError
from manifests.pixels import PixelReader, decode_crop, decode_mask
from manifests.reader import Dataset, read_table
from tests.samples.dataset import EMBEDDER, jpeg, png, write_dataset

PEOPLE = {"ann": 5, "bob": 4, "cid": 7, "dan": 2}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original")
    write_dataset(root, PEOPLE)
    return root


@pytest.fixture
def dataset(original: Path, tmp_path: Path) -> Dataset:
    """A copy, which a test may damage."""
    return Dataset.open(shutil.copytree(original, tmp_path / "set"))


def test_the_manifest_opens_in_pandas_with_the_columns_asked_for(dataset: Dataset) -> None:
    frame = dataset.to_pandas(["image_id", "verdict", "reasons"])
    assert list(frame.columns) == ["image_id", "verdict", "reasons"]
    assert frame.verdict.value_counts().to_dict() == {"keep": 14, "drop": 4}
    kept = dataset.to_pandas(["image_id"], keep=True)
    assert list(kept.columns) == ["image_id"]
    assert len(kept) == 14


def test_families_are_read_by_bucket_in_the_order_of_the_relations(dataset: Dataset) -> None:
    for bucket in range(dataset.buckets):
        measures, relations = dataset.measures(bucket), dataset.relations(bucket, ["image_id", "main"])
        assert measures["image_id"].to_pylist() == relations["image_id"].to_pylist()
        faces, vectors = dataset.embeddings(EMBEDDER, bucket)
        assert faces == dataset.faces(bucket, ["face_id"])["face_id"].to_pylist()
        assert vectors.shape == (len(faces), 4)
        assert vectors.dtype == np.float16
    assert dataset.relations().num_rows == sum(PEOPLE.values())


def test_pread_reads_what_pyarrow_reads(dataset: Dataset) -> None:
    rows = dataset.to_pandas(keep=True)
    stored = {
        row["face_id"]: row
        for bucket in range(dataset.buckets)
        for row in dataset.faces(bucket, ["face_id", "crop", "mask"]).to_pylist()
    }
    for _, row in rows.iterrows():
        assert dataset.pixels.crop(row) == stored[row.face_id]["crop"]["bytes"]
        assert dataset.pixels.mask(row) == stored[row.face_id]["mask"]["bytes"]


def test_many_reads_in_the_given_order(dataset: Dataset) -> None:
    rows = dataset.to_pandas(keep=True)
    for shard, part in rows.groupby("shard"):
        mixed = part.sample(frac=1.0, random_state=3)
        expected = [dataset.pixels.crop(row) for _, row in mixed.iterrows()]
        place = (mixed.crop_offset, mixed.crop_length, mixed.crop_crc)
        for gap in (0, 4096):
            assert dataset.pixels.many(str(shard), *place, gap=gap) == expected
    assert dataset.pixels.many("faces/none.parquet", [], [], []) == []


def test_many_joins_neighbours_only(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    part = next(iter(dataset.to_pandas(keep=True).groupby("shard")))[1]
    reads: list[int] = []
    whole = PixelReader._pread

    def counted(reader: PixelReader, shard: str, offset: int, length: int) -> bytes:
        reads.append(length)
        return whole(reader, shard, offset, length)

    monkeypatch.setattr(PixelReader, "_pread", counted)
    pick = [0, 1, 2, len(part) - 1]
    assert len(part) > 5
    few = part.iloc[pick]
    dataset.pixels.many(few.shard.iloc[0], few.crop_offset, few.crop_length, few.crop_crc, gap=64)
    assert reads == [int(part.crop_length.iloc[:3].sum()) + 2 * 4, part.crop_length.iloc[-1]]


def test_pixels_decode_to_arrays() -> None:
    assert decode_crop(jpeg(1)).shape == (32, 32, 3)
    labels = decode_mask(png(1))
    assert labels.dtype == np.uint8
    assert labels.max() <= 18
    assert (labels[::8, ::8] == np.random.default_rng(1).integers(0, 19, (4, 4), np.uint8)).all()


def test_threads_share_a_reader_that_keeps_one_file_open(dataset: Dataset) -> None:
    rows = [row for _, row in dataset.to_pandas(keep=True).iterrows()] * 20
    reader = PixelReader(dataset.path, files=1)
    alone = [reader.crop(row) for row in rows]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reader.crop, rows)) == alone
    assert len(reader._open) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read_too(dataset: Dataset, method: str) -> None:
    row = dataset.to_pandas(keep=True).iloc[0].to_dict()
    expected = dataset.pixels.crop(row)
    with dataset.pixels._lock, multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply_async(dataset.pixels.crop, (row,)).get(60) == expected


def test_a_reader_pickles_without_its_open_files(dataset: Dataset) -> None:
    row = dataset.to_pandas(keep=True).iloc[0]
    expected = dataset.pixels.crop(row)
    copy = pickle.loads(pickle.dumps(dataset.pixels))
    assert len(copy._open) == 0
    assert copy.crop(row) == expected


def test_a_photo_without_a_face_has_no_crop(dataset: Dataset) -> None:
    row = dataset.to_pandas(keep=False).iloc[0]
    with pytest.raises(DatasetError, match=f"{row.image_id}: no face was detected"):
        dataset.pixels.crop(row)


def test_a_missing_shard_is_named(dataset: Dataset) -> None:
    row = dataset.to_pandas(keep=True).iloc[0]
    (dataset.path / row.shard).unlink()
    with pytest.raises(DatasetError, match=rf"{row.shard} is missing: run `curate measure`"):
        dataset.pixels.crop(row)
    with pytest.raises(DatasetError, match=rf"{row.shard} is missing: run `curate measure`"):
        dataset.faces(int(row.shard[-11:-8]))


@pytest.mark.parametrize("offset", [0, 100, 10**9])
def test_an_offset_without_an_image_is_a_stale_manifest(dataset: Dataset, offset: int) -> None:
    row = dataset.to_pandas(keep=True).iloc[0].to_dict() | {"crop_offset": offset}
    with pytest.raises(DatasetError, match=f"the bytes at {offset} are not those of the image.*`curate verify"):
        dataset.pixels.crop(row)


def test_a_folder_without_dataset_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is not a curated dataset \(no dataset.json\)"):
        Dataset.open(tmp_path)
    with pytest.raises(DatasetError, match="is not a curated dataset"):
        Dataset.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema_version": 99, "buckets": 1}', "has schema version 99, this swapset reads version 4"),
        ("{half", "is damaged"),
        ("[]", r"is damaged \(not a JSON object\)"),
        ('{"schema_version": 4, "source": {}}', "missing or unknown key: buckets, models, settings"),
    ],
)
def test_an_unusable_dataset_json_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bukets", 2, "missing or unknown key: bukets"),
        ("buckets", "2", "buckets is '2', expected an integer from 0 to 1e\\+06"),
        ("buckets", True, "buckets is True, expected an integer from 0 to 1e\\+06"),
        ("source", "photos", "source is 'photos', expected an object"),
        ("source", {"kind": "folder", "path": "photos"}, "missing or unknown key: source.path"),
        ("source", {"kind": "folder", "root": 3}, "source.root is 3, expected text"),
        ("models", {"embedder": {"name": "sample"}}, "missing or unknown key: models.embedder.embedder_id"),
        ("models", {"embedder": None}, "models.embedder is None, expected an object"),
        ("parts", {"one": 1}, "parts.one is 1, expected text"),
        ("buckets", 0, "a dataset has either buckets or parts"),
        ("buckets", -1, "buckets is -1, expected an integer from 0 to 1e\\+06"),
        ("settings", {"template": "square"}, "settings.template is 'square', expected one of arcface-112, .*"),
        (
            "source",
            {"kind": "folder", "root": "a\0b"},
            r"source.root is 'a\\x00b', expected text without a null character",
        ),
        (
            "models",
            {"embedder": {"name": "n", "embedder_id": "../x"}},
            "models.embedder.embedder_id is '../x', expected .*",
        ),
    ],
)
def test_dataset_json_is_read_strictly(dataset: Dataset, key: str, value: object, message: str) -> None:
    path = dataset.path / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(DatasetError, match=rf"dataset.json is damaged \({message}\): restore it"):
        Dataset.open(dataset.path)


def test_a_table_of_an_unknown_schema_version_is_refused(dataset: Dataset) -> None:
    import pyarrow.parquet as pq

    path = dataset.path / "manifest.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(table.schema.metadata | {b"swapset.schema_version": b"1"}), path)
    with pytest.raises(DatasetError, match=r"manifest.parquet has schema version 1, this swapset reads version 4"):
        dataset.manifest()
    pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(DatasetError, match="has schema version none"):
        dataset.manifest()


def test_damaged_tables_and_unknown_columns_are_named(dataset: Dataset) -> None:
    path = dataset.path / "relations.parquet"
    with pytest.raises(DatasetError, match=r"relations.parquet has no column 'sharpnes'"):
        dataset.relations(0, ["sharpnes"])
    with pytest.raises(DatasetError, match="has buckets 0 to 1, not 2"):
        dataset.measures(2)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"relations.parquet is damaged .*run `curate relate` again"):
        dataset.relations()
    path.unlink()
    with pytest.raises(DatasetError, match=r"relations.parquet is missing: run `curate relate`"):
        read_table(path)


def test_vectors_of_another_embedder_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match=f"no embeddings of embedder other; present: {EMBEDDER}"):
        dataset.embeddings("other", 0)


def test_embeddings_for_keeps_the_order_of_the_rows(dataset: Dataset) -> None:
    stored = {
        face_id: vector
        for bucket in range(dataset.buckets)
        for face_id, vector in zip(*dataset.embeddings(EMBEDDER, bucket), strict=True)
    }
    frame = dataset.to_pandas(["face_id", "shard"], keep=True).sample(frac=1.0, random_state=1)
    vectors = dataset.embeddings_for(frame)
    assert vectors.dtype == np.float16
    assert np.array_equal(vectors, np.stack([stored[face_id] for face_id in frame.face_id]))
    table = dataset.manifest(keep=True)
    expected = np.stack([stored[face_id] for face_id in table["face_id"].to_pylist()])
    assert np.array_equal(dataset.embeddings_for(table, EMBEDDER), expected)
    assert dataset.embeddings_for(table[:0]).shape == (0, 0)


def test_embeddings_for_refuses_what_it_cannot_find(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="4 of 18 rows have no face"):
        dataset.embeddings_for(dataset.manifest(["face_id", "shard"]))
    frame = dataset.to_pandas(["face_id", "shard"], keep=True)
    with pytest.raises(DatasetError, match=f"no embeddings of embedder other; present: {EMBEDDER}"):
        dataset.embeddings_for(frame, "other")
    frame.loc[1, "face_id"] = "gone#0"
    with pytest.raises(DatasetError, match=rf"embeddings/{EMBEDDER}/b-00.\.parquet has no embedding of gone#0"):
        dataset.embeddings_for(frame)


def test_a_dataset_has_its_embedder_template_and_policy(dataset: Dataset) -> None:
    assert dataset.info.embedder_id == EMBEDDER
    assert dataset.info.template == "simswap-224"
    assert dataset.policy_hash() == "p" * 8
    assert json.loads((dataset.path / "dataset.json").read_text())["buckets"] == 2
