"""What the checks find in whole collections, from the folder that SWAPSET_CASES names."""

import os
from pathlib import Path

import pytest

import curate

CASES = Path(os.environ.get("SWAPSET_CASES", "."))

pytestmark = pytest.mark.skipif("SWAPSET_CASES" not in os.environ, reason="SWAPSET_CASES is not set")


@pytest.mark.parametrize(
    ("case", "check", "text"),
    [
        ("folder-ffhq", "numbered_folders", "00000 (12 photos), 01000 (12 photos)"),
        (
            "two-people-in-one-folder",
            "two_persons",
            "5 of 5 folders show two persons: person-08-mixed-5-5 (5 + 5 photos)",
        ),
    ],
)
def test_a_collection_that_looks_off_is_named(tmp_path: Path, case: str, check: str, text: str) -> None:
    request = curate.MeasureRequest(
        layout="folder", root=CASES / case / "input", out=tmp_path / "out", models="builtin", workers=1
    )
    (finding,) = curate.clean(request).decided.findings
    assert finding.check == check
    assert text in finding.observation
