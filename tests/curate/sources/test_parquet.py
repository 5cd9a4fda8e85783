"""The store `parquet`: labels by name, photos without labels, damaged files."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import DecodeError, SourceError
from curate.sources import open_source
from curate.sources.stores import parquet
from tests.samples.sources import listed, only, readable

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, images: list[dict[str, object] | None], rows: int = 10, **columns: pa.Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(images, IMAGE), **columns}), path, row_group_size=rows)
    return path


def image(content: bytes, path: str | None = None) -> dict[str, object]:
    return {"bytes": content, "path": path}


def test_names_of_a_class_label_and_of_images(tmp_path: Path) -> None:
    names = ["anna", "bo/b", ".x"]
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    table = pa.table(
        {
            "image": pa.array(
                [image(b"\x89PNG"), image(b"jpeg", "a/b.JPEG"), image(b"x"), image(b"y", "notes.txt"), None], IMAGE
            ),
            "label": pa.array([0, 1, 2, -1, 0]),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "train.parquet")
    source = open_source("folder", tmp_path / "train.parquet")
    assert listed(source) == {
        ".": ["train_3.jpg"], "_x": ["_x/train/2.jpg"], "anna": ["anna/train/0.png", "anna/train/4.jpg"],
        "bo_b": ["bo_b/train/1.jpeg"],
    }  # fmt: skip
    assert source.read(only(source, "bo_b")) == b"jpeg"
    assert source.entries("anna")[1].refusal == "the image is not in the Parquet file"


def test_row_groups_of_several_files_and_threads(tmp_path: Path) -> None:
    contents = [os.urandom(size) for size in range(1, 101)]
    for number in range(2):
        images = [image(content) for content in contents[number * 50 : number * 50 + 50]]
        write(tmp_path / f"part-{number}.parquet", images, rows=7)
    source = open_source("folder", tmp_path)
    entries = source.entries(".")
    assert [entry.image_id for entry in entries][48:51] == ["part-0_48.jpg", "part-0_49.jpg", "part-1_00.jpg"]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(source.read, entries)) == contents
        assert list(pool.map(source.read, reversed(entries))) == contents[::-1]


def test_files_that_hold_no_images_or_too_large_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"image_id": ["a"], "label": [1]}), tmp_path / "manifest.parquet")
    with pytest.raises(SourceError, match=r"has no column of images \(struct<bytes, path>\), but image_id, label:"):
        open_source("folder", tmp_path / "manifest.parquet")
    monkeypatch.setattr(parquet, "MAX_GROUP_BYTES", 1000)
    path = write(tmp_path / "set.parquet", [image(os.urandom(2000))])
    with pytest.raises(SourceError, match=r"has row groups of 0\.0 GB, .*: write it again with smaller ones"):
        open_source("folder", path)


def test_a_truncated_file_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "set.parquet", [image(b"x" * 100)] * 20)
    os.truncate(path, 900)
    with pytest.raises(SourceError, match=r"set\.parquet cannot be read as Parquet \(.*\): fetch it again"):
        open_source("folder", path)


def test_random_damage_gives_rows_or_one_line(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = [image(generator.bytes(200)) for _ in range(20)]
    path = write(tmp_path / "set.parquet", images, label=pa.array([1, 2] * 10))
    whole = path.read_bytes()
    for _ in range(100):
        data = bytearray(whole)
        for at in generator.integers(4, len(data), 10):
            data[at] = generator.integers(0, 256)
        path.write_bytes(data)
        assert all(len(content) == entry.size for entry, content in readable(path))


def test_a_file_that_changed_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "set.parquet", [image(b"a")])
    source = open_source("folder", path)
    entry = only(source, ".")
    write(path, [image(b"other")])
    with pytest.raises(DecodeError, match="the Parquet file changed after it was listed"):
        source.read(entry)


@pytest.mark.parametrize(
    ("name", "split"),
    [("train-00000-of-00002", "train"), ("validation-00000-of-00001", "val"), ("test", "test"), ("part-0", None)],
)
def test_the_split_is_that_of_the_name_of_the_file(tmp_path: Path, name: str, split: str | None) -> None:
    write(tmp_path / f"{name}.parquet", [image(b"a"), image(b"b")], label=pa.array(["anna", "bo"]))
    source = open_source("folder", tmp_path)
    assert source.identities() == ["anna", "bo"]
    assert {entry.split for key in source.identities() for entry in source.entries(key)} == {split}


def test_text_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    texts = pa.array([b"\xea\x00", b"b"]).view(pa.string())
    images = pa.array([{"bytes": b"\xff\xd8"}] * 2)
    pq.write_table(pa.table({"image": images, "label": texts}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        open_source("folder", tmp_path / "a.parquet")


def test_the_files_of_a_repository_are_in_its_only_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").write_text("a dataset card")
    write(
        tmp_path / "data" / "train-00000-of-00001.parquet", [image(b"a"), image(b"b")], label=pa.array(["anna", "bo"])
    )
    assert open_source("folder", tmp_path).identities() == ["anna", "bo"]
