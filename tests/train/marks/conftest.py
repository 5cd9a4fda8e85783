"""Fixtures of the tests of marks."""

from pathlib import Path

import pytest

from tests.samples.marks import Pixels, portrait


@pytest.fixture(autouse=True)
def swapset_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One data folder, and so one certificate, for all tests of the session."""
    home = tmp_path_factory.getbasetemp() / "swapset-home"
    monkeypatch.setenv("SWAPSET_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def photo() -> Pixels:
    """256 x 256 px, one face."""
    return portrait()
