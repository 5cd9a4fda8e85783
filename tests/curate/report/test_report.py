"""The report: every reason with its numbers and pictures; hostile names; missing photos."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from curate import merge
from curate.decide.check import Finding
from curate.decide.footer import findings_footer
from curate.decide.policy import load_policy
from curate.report import run
from curate.report.sheets import MAX_CARDS, format_number
from manifests.errors import DatasetError
from manifests.layout import POLICY, POLICY_HASH, write_info
from manifests.reader import read_table
from manifests.schema import arrow_schema
from manifests.table_file import footer
from manifests.writer import FacesWriter, write_table
from tests.samples.dataset import dataset_info, faces_of, filled, write_pair

HOSTILE = '<script>alert("x")</script> & co'


class Page(HTMLParser):
    """A parsed page: attributes by tag, its text, and tags that are not closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.folder = path.parent
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> does not match an open tag at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def dataset(root: Path, photos: list[dict[str, Any]], source: Path | None = None) -> Path:
    """A decided dataset with these manifest rows; those with a face_id get a crop."""
    write_info(root, dataset_info(root=str(source) if source else None))
    keys = ("image_id", "identity", "face_id")
    faces = [faces_of(row["identity"], 1)[0] | {key: row[key] for key in keys} for row in photos if row.get("face_id")]
    with FacesWriter(root / "faces" / "b-000.parquet", {}) as writer:
        for identity in sorted({face["identity"] for face in faces}):
            writer.add([face for face in faces if face["identity"] == identity])
    where = {row["face_id"]: row for row in writer.offsets.to_pylist()} if writer.offsets is not None else {}
    rows = [
        filled("manifest", {"verdict_source": "policy"} | row | where.get(row.get("face_id"), {}), 0) for row in photos
    ]
    policy = load_policy("default")
    footer = {POLICY: policy.canonical_json(), POLICY_HASH: policy.sha256()}
    table = pa.Table.from_pylist(rows, arrow_schema("manifest"))
    write_table(root / "manifest.parquet", [table], arrow_schema("manifest"), footer)
    return root


def face(image_id: str, identity: str, *reasons: str, **numbers: Any) -> dict[str, Any]:
    return photo(image_id, identity, *reasons, **{"face_id": f"{image_id}#0", "own_similarity": 0.8} | numbers)


def photo(image_id: str, identity: str, *reasons: str, **numbers: Any) -> dict[str, Any]:
    verdict = "review" if reasons == ("uncertain_person",) else "drop" if reasons else "keep"
    return {"image_id": image_id, "identity": identity, "verdict": verdict, "reasons": list(reasons)} | numbers


@pytest.fixture
def page(tmp_path: Path) -> Page:
    source = tmp_path / "photos"
    (source / "ann").mkdir(parents=True)
    Image.new("RGB", (300, 200), "green").save(source / "ann/tree.jpg")
    rows = [
        face("ann/1.jpg", "ann", sharpness=0.9),
        face("ann/best.jpg", "ann", sharpness=0.9, own_similarity=0.95),
        face(
            "ann/2.jpg", "ann", "blurred", "other_person", sharpness=0.1, wrong_person=0.9, suggested_identity=HOSTILE
        ),
        face("ann/5.jpg", "ann", "uncertain_person", wrong_person=0.3, own_similarity=0.4),
        face("ann/3.jpg", "ann", "near_duplicate", duplicate_of="ann/1.jpg"),
        face("ann/4.jpg", "ann", "too_small", eye_distance=9.5, width=1024, height=40),
        photo("ann/broken.jpg", "ann", "undecodable", error="truncated"),
        photo("ann/tree.jpg", "ann", "no_face"),
        photo("ann/gone.jpg", "ann", "no_face"),
        face(f"{HOSTILE}/1.jpg", HOSTILE, own_similarity=0.7),
    ]
    return Page(run(dataset(tmp_path / "set", sorted(rows, key=lambda row: row["image_id"]), source)))


def test_every_reason_has_a_section_and_every_link_a_target(page: Page) -> None:
    assert re.search(
        r"10\s*photos\s*3\s*kept\s*1\s*to review, not used in training\s*6\s*dropped \(60\.0%\)", page.text
    )
    sections = {attributes["id"] for attributes in page.all("h2")}
    assert {
        "undecodable",
        "no_face",
        "too_small",
        "blurred",
        "other_person",
        "uncertain_person",
        "near_duplicate",
        "keep",
    } < sections
    assert not {"too_dark", "duplicate"} & sections
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in ids}
    assert "also other person" in page.text
    assert "width 1,024" in page.text
    assert "truncated" in page.text
    assert not page.open


def test_every_picture_exists_and_has_an_alternative_text(page: Page) -> None:
    shown = page.all("img")
    assert all("alt" in image for image in shown)
    files = {image["src"] for image in shown}
    assert files == {f"pictures/{path.name}" for path in (page.folder / "pictures").iterdir()}
    for name in files:
        with Image.open(page.folder / str(name)) as image:
            image.load()
    # Without a picture: the damaged file, and the one that is missing now.
    assert [image["alt"] for image in shown if image["alt"] in ("ann/tree.jpg", "ann/gone.jpg")] == ["ann/tree.jpg"]
    assert page.text.count("no picture") == 2


def test_a_wrong_person_is_shown_beside_its_identity_and_the_suggested_one(page: Page) -> None:
    titles = [image["alt"] for image in page.all("img") if image["alt"]]
    start = [k for k, title in enumerate(titles) if title == "ann/2.jpg"][-1]
    assert titles[start : start + 3] == ["ann/2.jpg", "ann", HOSTILE]
    sources = {image["alt"]: image["src"] for image in page.all("img") if image["alt"]}
    assert sources["ann"] == sources["ann/best.jpg"]


def test_hostile_names_are_escaped_and_the_page_loads_nothing(page: Page) -> None:
    assert HOSTILE in page.text
    assert not page.all("script")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not re.search(r"https?://", (page.folder / "index.html").read_text(encoding="utf-8"))


def test_the_path_of_the_source_is_not_in_the_page(page: Page, tmp_path: Path) -> None:
    assert "Source: folder photos" in page.text
    assert str(tmp_path) not in (page.folder / "index.html").read_text(encoding="utf-8")


def test_a_large_sheet_is_a_sample_over_the_whole_range(tmp_path: Path) -> None:
    rows = [face(f"a/{k:03d}.jpg", "a", "blurred", sharpness=k / 300) for k in range(100)]
    page = Page(run(dataset(tmp_path / "set", rows)))
    titles = [image["alt"] for image in page.all("img") if image["alt"]]
    assert len(titles) == MAX_CARDS
    assert (titles[0], titles[-1]) == ("a/000.jpg", "a/099.jpg")
    assert f"100 photos, {MAX_CARDS} shown" in page.text


def test_without_the_source_the_report_shows_crops(tmp_path: Path) -> None:
    rows = [face("a/1.jpg", "a"), photo("a/2.jpg", "a", "no_face")]
    root = dataset(tmp_path / "set", rows, tmp_path / "vanished")
    assert "no picture" in Page(run(root)).text
    assert [path.name for path in (root / "report/pictures").iterdir()] == ["00000.jpg"]


def test_a_new_report_replaces_the_previous_one(tmp_path: Path) -> None:
    root = dataset(tmp_path / "set", [face("a/1.jpg", "a")])
    first = run(root).read_bytes()
    (root / "report/pictures/old.jpg").write_bytes(b"")
    assert run(root).read_bytes() == first
    assert not (root / "report/pictures/old.jpg").exists()
    assert not list(root.glob(".*"))


def test_the_reason_of_a_rule_of_your_own_is_listed(tmp_path: Path) -> None:
    rows = [face("a/1.jpg", "a", "profile", yaw=80.0), face("a/2.jpg", "a", "blurred", "profile", sharpness=0.1)]
    page = Page(run(dataset(tmp_path / "set", rows)))
    assert [section["id"] for section in page.all("h2")][1:3] == ["blurred", "profile"]
    assert "A rule of your own: 2 photos" in page.text


def test_what_the_checks_found_stands_at_the_head(tmp_path: Path) -> None:
    root = dataset(tmp_path / "set", [face("a/1.jpg", "a")])
    assert "Something looks off" not in Page(run(root)).text
    path = root / "manifest.parquet"
    finding = Finding("split_names", f"named {HOSTILE}", "splits", "curate clean LAYOUT --root ROOT/FOLDER --out NEW")
    write_table(path, read_table(path), arrow_schema("manifest"), (footer(path) or {}) | findings_footer([finding]))
    page = Page(run(root))
    assert f"split names: named {HOSTILE}. Likely cause: splits. Next: curate clean LAYOUT" in page.text
    assert page.all("h2")[0]["id"] == "checks"
    assert not page.open


@pytest.mark.parametrize(("value", "text"), [(1024, "1,024"), (999, "999"), (0.12345, "0.123"), (1e6, "1,000,000")])
def test_numbers_are_formatted_without_exponents(value: float, text: str) -> None:
    assert format_number(value) == text


def test_a_merged_dataset_has_no_report_of_its_own(tmp_path: Path) -> None:
    request = merge.MergeRequest(write_pair(tmp_path), tmp_path / "both")
    merge.run(merge.plan(request))
    with pytest.raises(DatasetError, match=r"is merged.*write the reports of its parts"):
        run(tmp_path / "both")


def test_a_folder_that_is_no_dataset_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "note.txt", tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match="is not a curated dataset"):
            run(path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
