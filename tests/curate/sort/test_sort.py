"""`curate sort`: photos in the order of a column or of a similarity, as a sheet, a page or links."""

import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.sort import SortRequest, plan, run
from curate.sort.forms import CAPTION, COLUMNS, TILE
from manifests.errors import DatasetError, OutputError
from manifests.reader import Dataset
from tests.curate.report.test_report import HOSTILE, Page, dataset, face, photo
from tests.samples.dataset import write_pair


@pytest.fixture
def root(tmp_path: Path) -> Path:
    source = tmp_path / "photos"
    for name in ("a", "b"):
        (source / name).mkdir(parents=True)
    rows = [
        face("a/1.jpg", "a", sharpness=0.5),
        face("a/2.jpg", "a", "blurred", sharpness=0.1),
        face("b/1.jpg", "b", sharpness=0.9),
        photo("b/2.jpg", "b", "no_face"),
    ]
    for row in rows:
        Image.new("RGB", (8, 8)).save(source / row["image_id"])
    return dataset(tmp_path / "set", rows, source)


def ids(root: Path, out: Path, **options: object) -> list[str]:
    return [row["image_id"] for row in run(plan(SortRequest(root, out, **options))).rows]  # type: ignore[arg-type]


def test_photos_are_sorted_by_a_column_with_nulls_last(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert ids(root, out, by="sharpness") == ["a/2.jpg", "a/1.jpg", "b/1.jpg", "b/2.jpg"]
    assert ids(root, out, by="sharpness", descending=True) == ["b/1.jpg", "a/1.jpg", "a/2.jpg", "b/2.jpg"]
    assert ids(root, out, by="verdict") == ["a/2.jpg", "b/2.jpg", "a/1.jpg", "b/1.jpg"]
    assert ids(root, out, by="sharpness", identity="a", verdict="keep") == ["a/1.jpg"]
    assert ids(root, out, by="sharpness", limit=2) == ["a/2.jpg", "a/1.jpg"]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_contact_sheet_that_has_no_space_is_refused(root: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"sheet.{suffix}"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            ids(root, out, by="sharpness")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob("*sheet*"))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_contact_sheet_shows_the_crops_in_order(root: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"sheet.{suffix}"
    ids(root, out, by="sharpness")
    with Image.open(out) as sheet:
        assert sheet.size == (COLUMNS * TILE, TILE + CAPTION)
        pixels = np.asarray(sheet.convert("RGB"), np.int64)
    assert pixels[:TILE, : 3 * TILE].std() > 10
    assert pixels[:TILE, 3 * TILE : 4 * TILE].std((0, 1)).max() < 4  # without a face


def test_a_page_is_one_file_without_script(tmp_path: Path) -> None:
    root = dataset(tmp_path / "set", [face(f"{HOSTILE}/1.jpg", HOSTILE, sharpness=0.5), photo("b/1.jpg", "b")])
    ids(root, tmp_path / "sorted.html", by="sharpness")
    page = Page(tmp_path / "sorted.html")
    assert [image["src"].split(",")[0] for image in page.all("img") if image["src"]] == ["data:image/jpeg;base64"]
    assert HOSTILE in page.text
    assert not page.all("script")
    assert not page.open


def test_links_lead_to_the_photos_and_are_replaced(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "links"
    ids(root, out, by="sharpness")
    assert [link.name for link in sorted(out.iterdir())] == [
        "1 0.1 2.jpg",
        "2 0.5 1.jpg",
        "3 0.9 1.jpg",
        "4 none 2.jpg",
    ]
    assert (out / "3 0.9 1.jpg").resolve() == (tmp_path / "photos/b/1.jpg").resolve()
    ids(root, out, by="sharpness", limit=1)
    assert [link.name for link in out.iterdir()] == ["1 0.1 2.jpg"]
    (out / "notes.txt").write_text("")
    with pytest.raises(OutputError, match="holds something else than links"):
        ids(root, out, by="sharpness")
    (tmp_path / "photos/b/1.jpg").unlink()
    with pytest.raises(OutputError, match=r"is missing or inside an archive: use --out NAME.html"):
        ids(root, tmp_path / "again", by="sharpness")
    assert not (tmp_path / "again").exists()


def test_photos_are_sorted_by_similarity_to_a_photo(tmp_path: Path) -> None:
    root, _ = write_pair(tmp_path)
    photos = run(plan(SortRequest(root, tmp_path / "like.png", like="ann/0001.jpg", descending=True)))
    assert photos.rows[0]["image_id"] == "ann/0001.jpg"
    values = [row["value"] for row in photos.rows]
    assert values == sorted(values, reverse=True)
    assert len(values) == sum(row["shard"] is not None for row in Dataset.open(root).manifest().to_pylist())
    with pytest.raises(DatasetError, match=r"ann/0004.jpg shows no face"):
        run(plan(SortRequest(root, tmp_path / "like.png", like="ann/0004.jpg")))
    with pytest.raises(DatasetError, match=r"'zoe.jpg' is neither an image_id of .* nor a file"):
        run(plan(SortRequest(root, tmp_path / "like.png", like="zoe.jpg")))


def test_wrong_requests_name_what_is_accepted(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no column to sort by is called 'sharp'; choose blockiness, .*sharpness"):
        plan(SortRequest(root, tmp_path / "x.png", by="sharp"))
    with pytest.raises(OutputError, match=r"x.gif: give a name that ends in .jpg, .png or .html"):
        plan(SortRequest(root, tmp_path / "x.gif", by="sharpness"))
    with pytest.raises(DatasetError, match="no photo has identity 'zoe';"):
        plan(SortRequest(root, tmp_path / "x.png", by="sharpness", identity="zoe"))
    with pytest.raises(ValueError, match=r"a column .by. or a photo .like."):
        SortRequest(root, tmp_path / "x.png")
