"""Identities from a file."""

from pathlib import Path

import pytest

from curate.errors import SourceError
from curate.sources import Source, open_source
from tests.samples.sources import MAKE, make_directory

PHOTOS = ["img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg", "img_align_celeba/000003.jpg"]


def people(source: Source) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for key in source.identities():
        for entry in source.entries(key):
            result.setdefault(entry.identity, []).append(entry.image_id)
    return result


@pytest.mark.parametrize("store", ["directory", "tar"])
@pytest.mark.parametrize(
    "text",
    [
        "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n",
        "000001.jpg,2880\r\n000002.jpg,2937\r\n000003.jpg,2880\r\n",
        "image_id,identity\n000001.jpg,2880\n000002.jpg,2937\n000003.jpg,2880\n",
        "identity;file\n2880;000001.jpg\n2937;000002.jpg\n2880;000003.jpg\n",
        "file,width,identity\n000001.jpg,178,2880\n000002.jpg,178,2937\n000003.jpg,178,2880\n",
        "path\tname\nimg_align_celeba\\000001.jpg\t2880\n./img_align_celeba/000002.jpg\t2937\n000003.jpg\t2880\n\n",
        "3\nimage_id identity\n000001.jpg  2880\n000002.jpg  2937\n000003.jpg  2880\n",
        "\ufeff000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n",
    ],
    ids=["CelebA", "CSV", "header", "identity first", "named column", "paths", "count and header", "byte order mark"],
)
def test_forms_of_the_file(tmp_path: Path, store: str, text: str) -> None:
    (tmp_path / "identities.txt").write_text(text, encoding="utf-8", newline="")
    source = open_source("folder", MAKE[store](tmp_path / "set", *PHOTOS), str(tmp_path / "identities.txt"))
    assert people(source) == {"2880": [PHOTOS[0], PHOTOS[2]], "2937": [PHOTOS[1]]}
    assert source.notes() == []


def test_names_with_spaces(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a b.jpg Zoe Ann\nc.PNG Bo\n")
    source = open_source("folder", make_directory(tmp_path / "set", "a b.jpg", "x/c.PNG"), str(tmp_path / "list.txt"))
    assert people(source) == {"Zoe Ann": ["a b.jpg"], "Bo": ["x/c.PNG"]}


def test_rows_and_photos_without_a_counterpart_are_counted(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("1.jpg,al\n2.jpg,al\n9.jpg,bo\n")
    source = open_source("folder", make_directory(tmp_path / "set", "1.jpg", "2.jpg", "3.jpg"), str(table))
    assert people(source) == {"al": ["1.jpg", "2.jpg"], ".": ["3.jpg"]}
    assert source.notes() == [
        f"1 photo has no row in {table}: read without identity",
        f"1 row of {table} names no photo",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9.jpg,al\n", r"no row of 1 names a photo of the source \(the first is 9.jpg\): .*--root"),
        ("1.jpg,al\n1.jpg,bo\n", r"1.jpg has two identities, al and bo"),
        ("x/1.jpg,al\nbroken\n", r"line 2: expected a photo and its identity, found 'broken'"),
        ("hello\n", r"its first lines name no photo; expected lines such as 000001.jpg,2880"),
        ("", r"its first lines name no photo"),
        ("1.jpg,al\n", r"1.jpg names both x/1.jpg and y/1.jpg: give the folder of the photos with --root"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        open_source("folder", make_directory(tmp_path / "set", "x/1.jpg", "y/1.jpg"), str(tmp_path / "list.csv"))


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    root = make_directory(tmp_path / "set", "x/1.jpg")
    with pytest.raises(SourceError, match=r"--identities perent cannot be read \(No such.*give first, parent, none"):
        open_source("folder", root, "perent")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe1")
    with pytest.raises(SourceError, match="is not UTF-8 text"):
        open_source("folder", root, str(tmp_path / "x.csv"))
