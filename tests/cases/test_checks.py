"""What the checks find in whole collections, from the folder that SWAPSET_CASES names."""

import os
from pathlib import Path

import pytest

import curate

CASES = Path(os.environ.get("SWAPSET_CASES", "."))

pytestmark = pytest.mark.skipif("SWAPSET_CASES" not in os.environ, reason="SWAPSET_CASES is not set")


@pytest.mark.parametrize(
    ("case", "identities", "check", "text"),
    [
        ("folder-ffhq", "first", "numbered_folders", "00000 (12 photos), 01000 (12 photos)"),
        ("folder-splits", "first", "split_names", "train (12 photos), val (6 photos)"),
        (
            "two-people-in-one-folder",
            None,
            "two_persons",
            "5 of 5 folders show two persons: person-08-mixed-5-5 (5 + 5 ",
        ),
    ],
)
def test_a_collection_that_looks_off_is_named(
    tmp_path: Path, case: str, identities: str | None, check: str, text: str
) -> None:
    root, out = CASES / case / "input", tmp_path / "out"
    request = curate.MeasureRequest(
        layout="folder", root=root, identities=identities, out=out, models="builtin", workers=1
    )
    (finding,) = curate.clean(request).decided.findings
    assert finding.check == check
    assert text in finding.observation
