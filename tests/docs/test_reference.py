"""The generated reference pages are up to date, and the site builds without a broken link."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs import reference
from tests.conftest import ROOT


@pytest.mark.parametrize("name", reference.pages())
def test_a_reference_page_is_up_to_date(name: str) -> None:
    committed = (reference.FOLDER / name).read_text(encoding="utf-8")
    assert committed == reference.pages()[name], "stale: run `python -m docs.reference`"


def test_every_reference_page_is_generated() -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(reference.pages())


def test_the_site_builds_without_a_broken_link(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "reference" / "columns.html").exists()
