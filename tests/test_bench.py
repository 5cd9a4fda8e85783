"""Every module of bench/ can be imported, and `python -m bench` lists every benchmark."""

from importlib import import_module
from pathlib import Path

import pytest

from bench.__main__ import BENCHMARKS, BY_HAND
from tests.conftest import ROOT

OWN = ("bench", "curate", "manifests", "tests", "train")
MODULES = [f"bench.{path.stem}" for path in sorted((ROOT / "bench").glob("*.py")) if path.stem != "__init__"]


@pytest.mark.parametrize("name", MODULES)
def test_module_can_be_imported(name: str) -> None:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in OWN:
            raise
        pytest.skip(f"needs {error.name}")


def test_every_benchmark_is_listed() -> None:
    programs = {name for name in MODULES if _is_program(ROOT / f"{name.replace('.', '/')}.py")} - {"bench.__main__"}
    listed = {command[0] for command in BENCHMARKS.values()}
    assert listed | BY_HAND.keys() == programs
    assert not listed & BY_HAND.keys()


def _is_program(path: Path) -> bool:
    return 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
