"""`curate card`: the numbers of a manifest as Markdown."""

import re
from pathlib import Path

import pytest

from curate import merge
from curate.audit.record import AnnotatorResult, AuditRecord, KindShare, PopulationResult, store
from curate.card import write_card
from curate.card.numbers import TONES
from manifests.errors import DatasetError
from manifests.schema import VERDICTS
from tests.conftest import Cleaned
from tests.curate.report.test_report import dataset, face, photo
from tests.samples.dataset import write_pair


def shares(text: str, title: str) -> dict[str, float]:
    """The rows of a table of shares."""
    table = text.split(f"| {title}", 1)[1].split("\n\n", 1)[0]
    return {row[0]: float(row[1]) for row in re.findall(r"^\| (.+?) \| ([\d.]+)%", table, re.MULTILINE)}


def test_the_card_of_the_demo(cleaned: Cleaned, tmp_path: Path) -> None:
    text = write_card(cleaned.out, tmp_path / "card.md").read_text(encoding="utf-8")
    assert str(cleaned.photos.parent) not in text
    counts = {verdict: int(re.search(rf"\| {verdict}.*\| ([\d,]+) \|", text)[1]) for verdict in VERDICTS}  # type: ignore[index]
    assert f"{counts['keep']} of {sum(counts.values())} photos are used, of 8 people" in text
    assert "| duplicate | the same bytes as another photo, which is kept |" in text
    assert "preset default" in text
    assert "dlib-resnet: weights: CC0" in text
    assert "research use only" in text
    assert sum(shares(text, "Head turned to either side").values()) == pytest.approx(100, abs=0.5)
    assert "Not measured: no person has looked" in text


def test_tones_are_counted_by_photo_and_by_person(tmp_path: Path) -> None:
    angles = {"ann": (-60, -40, 20), "bob": (30, 60, 60), "cid": (None, None, None)}
    rows = [
        face(f"{name}/{k}.jpg", name, ita=value) for name, values in angles.items() for k, value in enumerate(values)
    ]
    text = write_card(dataset(tmp_path / "set", rows), tmp_path / "card.md").read_text()
    by_photo, by_person = shares(text, "Skin tone of the photos"), shares(text, "People by the median angle")
    assert by_photo[TONES[0][0]] == pytest.approx(100 * 2 / 6, abs=0.1)
    assert by_photo["not measured"] == pytest.approx(100 * 3 / 9, abs=0.1)
    assert (by_person[TONES[0][0]], by_person[TONES[5][0]]) == (50, 50)


def test_a_dataset_that_keeps_nothing_has_a_card(tmp_path: Path) -> None:
    text = write_card(dataset(tmp_path / "set", [photo("a/1.jpg", "a", "no_face")]), tmp_path / "card.md").read_text()
    assert "0 of 1 photos are used, of 0 people" in text
    assert "| no_face | no face was detected | 1 | 100.0% |" in text


def test_names_of_folders_are_no_markup(tmp_path: Path) -> None:
    root = dataset(tmp_path / "a|b [x](javascript:1) <b>", [face("a/1.jpg", "a")])
    heading = write_card(root, tmp_path / "card.md").read_text().splitlines()[0]
    assert heading == r"# a\|b \[x\]\(javascript:1\) \<b\>"


def test_the_card_of_a_merged_dataset_names_its_parts(tmp_path: Path) -> None:
    merge.run(merge.plan(merge.MergeRequest(write_pair(tmp_path), tmp_path / "both")))
    text = write_card(tmp_path / "both", tmp_path / "card.md").read_text()
    assert "- vgg: Layout folder" in text
    assert "Each part was decided by its own policy" in text


def test_an_undecided_dataset_is_refused(tmp_path: Path) -> None:
    root, _ = write_pair(tmp_path)
    (root / "manifest.parquet").unlink()
    with pytest.raises(DatasetError, match=r"manifest.parquet is missing"):
        write_card(root, tmp_path / "card.md")


def test_the_card_cites_the_audit_of_the_manifest(tmp_path: Path) -> None:
    root = dataset(tmp_path / "set", [face("a/1.jpg", "a")])
    shares = (KindShare("any", 0.012, 0.004, 0.03, 4),)
    result = AnnotatorResult("anna", (PopulationResult("kept", 5000, 300, shares),))
    store(root / "manifest.parquet", AuditRecord(7, "b", (result,)))
    text = write_card(root, tmp_path / "card.md").read_text()
    assert "kept: 300 of 5,000 photos judged by anna, seed 7" in text
    assert "Not measured" not in text
