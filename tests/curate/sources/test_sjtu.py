"""The layout `sjtu`."""

from pathlib import Path

import pytest

from curate.errors import SourceError
from curate.sources import open_source
from curate.sources.layouts.sjtu import identity_of
from tests.samples.sources import make_directory


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("li_wei_0012.png", "li_wei"), ("li-3.png", "li"), ("li wei (12).png", "li wei"), ("li_1_2.png", "li_1"),
        ("liwei12.png", "liwei12"), ("liwei.png", "liwei"), ("0012.png", "."), ("12_0003.png", "."),
        ("a.b.7.png", "a.b"),
    ],
)  # fmt: skip
def test_the_identity_in_a_flat_name(name: str, identity: str) -> None:
    assert identity_of(name) == identity


def test_other_files_are_counted_once(tmp_path: Path) -> None:
    make_directory(tmp_path, "zhang/1.png", "zhang/notes.txt", "zhang_0002.png", "readme.txt")
    source = open_source("sjtu", tmp_path)
    for _ in range(2):
        assert [entry.image_id for entry in source.entries("zhang")] == ["zhang/1.png", "zhang_0002.png"]
    assert source.ignored() == {".txt": 2}


@pytest.mark.parametrize(
    "photos",
    [("train/al/1.png", "test/bo/1.png"), ("vggface2_train/n000001/1.jpg",), ("SJTU/al/1.png", "SJTU/bo/1.png")],
)
def test_a_tree_whose_first_folders_are_no_people_is_refused(tmp_path: Path, photos: tuple[str, ...]) -> None:
    make_directory(tmp_path, *photos)
    with pytest.raises(SourceError, match=r"is not laid out as sjtu: expected .* use `curate clean folder --root "):
        open_source("sjtu", tmp_path)


@pytest.mark.parametrize("photos", [("al/1.png",), ("al/a/1.png", "bo/b/1.png"), ("train/al/1.png", "bo_1.png")])
def test_folders_of_people_may_be_nested(tmp_path: Path, photos: tuple[str, ...]) -> None:
    make_directory(tmp_path, *photos)
    assert len(open_source("sjtu", tmp_path).identities()) == len(photos)
