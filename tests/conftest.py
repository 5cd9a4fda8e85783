"""Fixtures that several tests share: the demo's photos, cleaned once, and the folder of test photos."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from curate.evaluate import demo

ROOT = Path(__file__).parent.parent

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs a CUDA device; skipped without one")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of test photos, $SWAPSET_DATA; skips the test if it is not set."""
    folder = os.environ.get("SWAPSET_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the folder of test photos: set SWAPSET_DATA")
    return Path(folder)


def command(*arguments: object) -> list[str]:
    """Return the command line of `curate` with these arguments."""
    return [sys.executable, "-m", "curate.cli", *map(str, arguments)]


def run_curate(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run `curate` in another process."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, **options
    )


@dataclass(frozen=True)
class Cleaned:
    """The demo's photos, the faults planted in them, the dataset of `curate clean`, and what it printed."""

    photos: Path
    planted: list[demo.PlantedPhoto]
    out: Path
    printed: str


@pytest.fixture(scope="session")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Cleaned:
    """A small demo folder, cleaned with the built-in models in four shards."""
    folder = tmp_path_factory.mktemp("demo")
    photos, out = folder / "vggface2", folder / "curated"
    planted = demo.build(photos, limit=48)
    done = run_curate("clean", "vggface2", "--root", photos, "--out", out, "--models", "builtin", "--buckets", 4)
    assert done.returncode == 0, done.stderr
    return Cleaned(photos, planted, out, done.stdout)
