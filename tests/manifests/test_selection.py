"""manifests/selection.py: lists of photos to train on or to export."""

from pathlib import Path

import pyarrow as pa
import pytest

from manifests.errors import DatasetError
from manifests.selection import read_selection

KEPT = pa.table({"image_id": ["a/1.jpg", "a/2, 3.jpg", "=b/1.jpg"], "number": [1, 2, 3]})


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.csv", "identity,image_id,rank\na,a/1.jpg,1\n\nb,'=b/1.jpg,2\n"),
        ("s.csv", "\ufeffimage_id\na/1.jpg\n=b/1.jpg\na/1.jpg\n"),
        ("s.txt", "=b/1.jpg\r\na/1.jpg\r\n\r\n"),
    ],
)
def test_the_rows_of_a_list_are_taken_in_the_order_of_the_manifest(tmp_path: Path, name: str, text: str) -> None:
    selection = read_selection(write(tmp_path, name, text))
    assert selection.rows_of(KEPT)["number"].to_pylist() == [1, 3]
    assert selection.digest == read_selection(write(tmp_path, "other.txt", "a/1.jpg\n=b/1.jpg")).digest


def test_a_line_of_text_is_a_whole_name(tmp_path: Path) -> None:
    assert read_selection(write(tmp_path, "s.txt", "a/2, 3.jpg\n")).rows_of(KEPT)["number"].to_pylist() == [2]


def test_a_name_of_other_bytes_than_utf_8_is_read(tmp_path: Path) -> None:
    assert read_selection(write(tmp_path, "s.txt", "a/\udcff.jpg")).image_ids == ("a/\udcff.jpg",)


def test_a_photo_that_is_not_kept_is_an_error(tmp_path: Path) -> None:
    selection = read_selection(write(tmp_path, "s.txt", "a/1.jpg\na/9.jpg\n"))
    with pytest.raises(
        DatasetError, match=r"s.txt: 1 of 2 selected photos are not kept .*'a/9.jpg'\): run `curate sel"
    ):
        selection.rows_of(KEPT)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.csv", "photo,rank\na/1.jpg,1\n", r"line 1: no column 'image_id' in the header 'photo,rank'"),
        ("s.csv", "rank,image_id\n1,a/1.jpg\n2\n", r"line 3: no image_id; copy it"),
        ("s.csv", "", r"no column 'image_id'"),
        ("s.txt", "\n\n", r"lists no photo"),
        ("s.json", "[]", r"a selection is a .csv file with the column image_id, or a .txt"),
    ],
)
def test_a_faulty_list_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_selection(write(tmp_path, name, text))


def test_a_missing_list_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"s.csv is missing: write it with `curate select`"):
        read_selection(tmp_path / "s.csv")
