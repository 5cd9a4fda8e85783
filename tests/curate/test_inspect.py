"""curate/inspect.py: the numbers of a dataset, and their lines of text."""

from pathlib import Path

import pytest

from curate.inspect import summarise
from curate.merge import MergeRequest, plan, run
from manifests.reader import Dataset
from manifests.schema import NO_IDENTITY
from tests.samples.dataset import edit_manifest, write_dataset, write_pair


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


def test_a_summary_counts_photos_people_and_bytes(pair: tuple[Path, Path]) -> None:
    edit_manifest(pair[0], "bob/0000.jpg", verdict="drop", reasons=["too_dark", "blurred"], verdict_source="override")
    edit_manifest(pair[0], "ann/0000.jpg", verdict="review", reasons=["uncertain_person"])
    summary = summarise(Dataset.open(pair[0]))
    assert (summary.photos, summary.with_face, summary.people, summary.people_kept) == (9, 7, 2, 2)
    assert summary.verdicts == {"keep": 5, "review": 1, "drop": 3}
    assert summary.reasons == {"no_face": 2, "blurred": 1, "too_dark": 1, "uncertain_person": 1}
    assert list(summary.reasons) == ["no_face", "blurred", "too_dark", "uncertain_person"]
    assert summary.overridden == 1
    assert summary.kept_per_person == (2, 2, 3)
    assert summary.disk["faces"] == sum(path.stat().st_size for path in (pair[0] / "faces").iterdir())
    lines = "\n".join(summary.lines())
    for text in (
        "9 photos of 2 people, 7 with a face",
        "no_face",
        "22.2 %",
        "simswap-224",
        "policy pppppppp",
        "photos to review are not used in training and exports",
        "sample",
    ):
        assert text in lines


def test_photos_without_identities_are_not_counted_as_people(tmp_path: Path) -> None:
    write_dataset(tmp_path / "ffhq", {NO_IDENTITY: 3})
    lines = summarise(Dataset.open(tmp_path / "ffhq")).lines()
    assert any(line.startswith("  3 photos without identities") for line in lines)
    assert not any("people" in line for line in lines)


def test_a_summary_of_a_merged_dataset_names_its_parts(pair: tuple[Path, Path], tmp_path: Path) -> None:
    run(plan(MergeRequest(pair, tmp_path / "both")))
    summary = summarise(Dataset.open(tmp_path / "both"))
    assert f"  part vgg: {pair[0]}" in summary.lines()
    assert summary.photos == 18
    assert list(summary.parts) == ["vgg", "sjtu"]
