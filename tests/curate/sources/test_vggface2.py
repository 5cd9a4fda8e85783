"""The layout `vggface2` and its CSVs."""

import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from curate.errors import SourceError
from curate.sources import open_source
from curate.sources.layouts.vggface2_tables import plausible
from tests.samples.sources import make_directory, only

GOOD = "40,50, 80,50, 60,70, 45,90, 75,90"


def make_vggface2(root: Path, split: str = "train") -> Path:
    make_directory(root, f"{split}/n000002/0001_01.jpg", f"{split}/n000002/0002_01.jpg", f"{split}/n000002/0003_01.jpg")
    make_directory(root, f"{split}/n000009/0001_02.jpg", f"{split}/n000009/0001_03.jpg")
    points = ",".join(f"P{point}{axis}" for point in range(1, 6) for axis in "XY")
    rows = {
        "n000009/0001_02": GOOD, "n000002/0001_01": GOOD, "n000002/0002_01": "40,50, 41,50, 60,70, 45,90, 75,90",
        "n000002/0003_01": GOOD,
    }  # fmt: skip
    boxes = {"n000002/0001_01": "30,30,60,80", "n000002/0003_01": "300,300,60,80", "n000009/0001_03": "1,2,0,0"}
    (root / "bb_landmark").mkdir()
    (root / "bb_landmark" / "loose_landmark_train.csv").write_text(
        f"NAME_ID,{points}\n" + "".join(f'"{name}",{row.replace(" ", "")}\n' for name, row in rows.items())
    )
    (root / "bb_landmark" / "loose_bb_train.csv").write_text(
        "NAME_ID,X,Y,W,H\n" + "".join(f'"{name}",{row}\n' for name, row in boxes.items())
    )
    return root


def test_boxes_and_landmarks_are_read_from_the_tables(tmp_path: Path) -> None:
    source = open_source("vggface2", make_vggface2(tmp_path))
    assert source.identities() == ["n000002", "n000009"]
    first, second, third = source.entries("n000002")
    assert (first.image_id, first.split) == ("train/n000002/0001_01.jpg", "train")
    assert first.landmarks == (40, 50, 80, 50, 60, 70, 45, 90, 75, 90)
    assert first.box == (30, 30, 90, 110)
    assert second.landmarks is None, "its eyes are one pixel apart"
    assert second.box is None
    assert third.landmarks is None, "its points are far outside its box"
    assert third.box == (300, 300, 360, 380)
    with_points, empty_box = source.entries("n000009")
    assert with_points.landmarks is not None, "points without a box are used"
    assert (empty_box.landmarks, empty_box.box) == (None, None)
    assert pickle.loads(pickle.dumps(source)).entries("n000002") == [first, second, third]


@pytest.mark.parametrize(
    ("photo", "root", "split"),
    [
        ("train/n000002/1.jpg", ".", "train"), ("test/n000002/1.jpg", ".", "test"),
        ("data/test/n000002/1.jpg", ".", "test"), ("n000002/1.jpg", ".", None),
        ("vggface2_train/train/n000002/1.jpg", ".", "train"), ("train/n000002/1.jpg", "train", "train"),
        ("VGG-Face2/data/vggface2_test/test/n000002/1.jpg", ".", "test"),
    ],
)  # fmt: skip
def test_directories_of_the_published_archives_and_of_parts_of_them(
    tmp_path: Path, photo: str, root: str, split: str | None
) -> None:
    make_directory(tmp_path / "set", photo, str(Path(photo).parents[1] / "n000003" / "2.jpg"))
    source = open_source("vggface2", tmp_path / "set" / root)
    entry = only(source, "n000002")
    assert entry.split == split
    assert (tmp_path / "set" / root / entry.image_id).read_bytes() == source.read(entry) == photo.encode()
    assert source.identities() == ["n000002", "n000003"]


def test_an_identity_in_both_splits_keeps_all_photos(tmp_path: Path) -> None:
    source = open_source("vggface2", make_directory(tmp_path, "train/n000002/1.jpg", "test/n000002/1.jpg"))
    assert [(entry.image_id, entry.split) for entry in source.entries("n000002")] == [
        ("test/n000002/1.jpg", "test"),
        ("train/n000002/1.jpg", "train"),
    ]


def test_a_tar_uses_the_tables_beside_it(tmp_path: Path) -> None:
    root = make_vggface2(tmp_path / "set")
    directory = open_source("vggface2", root)
    with tarfile.open(root / "vggface2_train.tar", "w") as archive:
        archive.add(root / "train", "train")
    source = open_source("vggface2", root / "vggface2_train.tar")
    for identity in directory.identities():
        for member, file in zip(source.entries(identity), directory.entries(identity), strict=True):
            assert (member.image_id, member.split, member.landmarks, member.box) == (
                file.image_id, file.split, file.landmarks, file.box,
            )  # fmt: skip
            assert source.read(member) == directory.read(file)


@pytest.mark.parametrize("wrapper", ["VGG-Face2", "VGG-Face2/data", "any/data"])
def test_tables_in_folders_that_wrap_the_set_are_used(tmp_path: Path, wrapper: str) -> None:
    make_vggface2(tmp_path / wrapper)
    source = open_source("vggface2", tmp_path)
    assert source.entries("n000002")[0].landmarks is not None


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    root = make_vggface2(tmp_path)
    (root / "bb_landmark" / "loose_landmark_train.csv").write_text("NAME_ID,P1X\nn000002/0001_01,left\n")
    with pytest.raises(SourceError, match=r"loose_landmark_train\.csv cannot be read as NAME_ID,P1X.*remove it"):
        open_source("vggface2", root).entries("n000002")


def test_a_gap_in_a_table_costs_one_photo_its_landmarks(tmp_path: Path) -> None:
    root = make_vggface2(tmp_path)
    table = root / "bb_landmark" / "loose_landmark_train.csv"
    table.write_text(table.read_text().replace('"n000009/0001_02",40,', '"n000009/0001_02",,'))
    source = open_source("vggface2", root)
    assert [entry.landmarks is None for entry in source.entries("n000009")] == [True, True]
    assert source.entries("n000002")[0].landmarks is not None


def test_plausible_landmarks() -> None:
    good = np.array([40, 50, 80, 50, 60, 70, 45, 90, 75, 90], float)
    box = np.array([30, 30, 90, 110], float)

    def moved(**points: float) -> np.ndarray:
        changed = good.copy()
        for name, value in points.items():
            changed[int(name[1:])] = value
        return changed

    cases = {
        "good": (good, True),
        "tilted 40 degrees": (moved(_3=80, _7=110, _9=130, _6=20, _8=50), True),
        "profile": (moved(_2=46, _6=44, _8=43), True),
        "missing": (moved(_4=np.nan), False),
        "infinite": (moved(_4=np.inf), False),
        "eyes crossed": (moved(_0=80, _2=40), False),
        "eyes together": (moved(_2=42), False),
        "upside down": (moved(_7=10, _9=10), False),
        "far outside": (good + 200, False),
    }
    points = np.stack([case for case, _ in cases.values()])
    result = plausible(points, np.tile(box, (len(cases), 1)))
    assert dict(zip(cases, result.tolist(), strict=True)) == {name: expected for name, (_, expected) in cases.items()}
    assert plausible(good[None] + 200, np.full((1, 4), np.nan)).all()
