"""How the trees in the folder that SWAPSET_CASES names are read."""

import os
from collections import Counter
from pathlib import Path

import pytest

from curate.sources import open_source

CASES = Path(os.environ.get("SWAPSET_CASES", "."))

pytestmark = pytest.mark.skipif("SWAPSET_CASES" not in os.environ, reason="SWAPSET_CASES is not set")


@pytest.mark.parametrize(
    ("case", "layout", "photos"),
    [
        ("folder-ffhq", "folder", {(".", None): 24}),
        ("folder-splits", "folder", {(f"person-0{n}", split): count for n in (1, 2, 3)
                                     for split, count in (("train", 4), ("val", 2))}),
        ("nas-waste", "folder", {("person-01", None): 4, ("person-02", None): 4}),
        ("tar-backslashes/backslash.tar", "folder", {("person-01", None): 3, ("person-02", None): 3}),
        ("vgg-mtcnn-folders", "vggface2", {("n000002", "train"): 3}),
        ("vgg-only-val", "vggface2", {("n000001", "val"): 3}),
        ("vgg-trainval", "vggface2", {("n000001", "val"): 3, ("n000002", "train"): 3, ("n000003", "train"): 3}),
    ],
)  # fmt: skip
def test_identities_and_splits(case: str, layout: str, photos: dict[tuple[str, str | None], int]) -> None:
    folder, _, file = case.partition("/")
    source = open_source(layout, CASES / folder / "input" / file)
    entries = [entry for key in source.identities() for entry in source.entries(key)]
    assert Counter((entry.identity, entry.split) for entry in entries) == photos
    if case == "nas-waste":
        assert source.ignored() == {"in #recycle": 6, "in $RECYCLE.BIN": 1, "in @eaDir": 2, "in __MACOSX": 1}
