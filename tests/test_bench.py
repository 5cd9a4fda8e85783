"""Every module of bench/ can be imported; `python -m bench` lists every benchmark, with arguments that it accepts."""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from bench.__main__ import BENCHMARKS, BY_HAND
from tests.conftest import ROOT

OWN = ("bench", "curate", "manifests", "tests", "train")
MODULES = [f"bench.{path.stem}" for path in sorted((ROOT / "bench").glob("*.py")) if path.stem != "__init__"]


def import_or_skip(name: str) -> ModuleType:
    """Import a module of bench/; skip where a package of others is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in OWN:
            raise
        pytest.skip(f"needs {error.name}")


@pytest.mark.parametrize("name", MODULES)
def test_module_can_be_imported(name: str) -> None:
    import_or_skip(name)


def test_every_benchmark_is_listed() -> None:
    programs = {name for name in MODULES if _is_program(ROOT / f"{name.replace('.', '/')}.py")} - {"bench.__main__"}
    listed = {command[0] for command in BENCHMARKS.values()}
    assert listed | BY_HAND.keys() == programs
    assert not listed & BY_HAND.keys()


class Parsed(Exception):
    """Raised in place of the benchmark."""


@pytest.mark.parametrize("command", [command for command in BENCHMARKS.values() if len(command) > 1], ids=" ".join)
def test_listed_arguments_are_accepted(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser) -> NoReturn:
        raise Parsed(parse(parser))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", command)
    module = import_or_skip(command[0])
    with pytest.raises(Parsed):
        module.main()


def _is_program(path: Path) -> bool:
    return 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
