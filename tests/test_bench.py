"""Every module of bench/ can be imported; `python -m bench` lists every benchmark, with arguments that it accepts."""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NoReturn

import numpy as np
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


@pytest.mark.parametrize(
    ("effect", "seed_std", "people_error"), [(0.79, 1.45, 0.12), (4.31, 1.45, 0.5), (1.0, 0.5, 0.2)]
)
def test_the_sample_size_of_the_ablation_has_its_power(effect: float, seed_std: float, people_error: float) -> None:
    """In simulated experiments whose variance is estimated from the trainings."""
    ablation = import_or_skip("bench.ablation")
    seeds = ablation.required_seeds(effect, seed_std, people_error)
    random = np.random.default_rng(0)
    arms = random.normal(0, seed_std, (20_000, 2, seeds))
    difference = arms[:, 1].mean(1) - arms[:, 0].mean(1) + random.normal(effect, people_error, 20_000)
    error = np.sqrt(arms.var(2, ddof=1).mean(1) * 2 / seeds + people_error**2)
    # The critical value that a simulation without an effect has.
    critical = np.quantile(np.abs(difference - effect) / error, 0.95)
    power = (np.abs(difference) / error > critical).mean()
    assert 0.77 < power < 0.9


def test_failed_trainings_are_no_part_of_the_sample_size(monkeypatch: pytest.MonkeyPatch) -> None:
    ablation = import_or_skip("bench.ablation")

    def lines(**distances: list[float | None]) -> list[str]:
        """Lines for the distances of the trainings of each arm that ended; None: without a swap that was judged."""
        names = {"kept": ablation.PLANTED, "cleaned": ablation.CLEANED, "unplanted": "unplanted"}
        rows = [SimpleNamespace(arm=names[key], a=0.8, a_low=-0.2, a_high=1.8, distance=0.7) for key in distances]
        arms = [
            SimpleNamespace(result=SimpleNamespace(name=names[key], metrics={"distance": SimpleNamespace(value=value)}))
            for key, values in distances.items()
            for value in values
        ]
        monkeypatch.setattr(ablation, "make_rows", lambda result: rows)
        return list(ablation.sample_size(SimpleNamespace(arms=arms)))

    both = lines(kept=[0.70, 0.71], cleaned=[0.69, 0.70])
    assert len(both) == 7
    assert lines(kept=[0.70, 0.71], cleaned=[0.69, 0.70, None], unplanted=[0.5]) == both
    for missing in ({"cleaned": [0.69, None]}, {"unplanted": [0.69, 0.70]}, {}):
        assert lines(kept=[0.70, 0.71], **missing) == ["sample size: needs two trainings of each of the first two arms"]


def test_no_number_of_trainings_shows_what_the_people_do_not() -> None:
    ablation = import_or_skip("bench.ablation")
    assert ablation.required_seeds(0.79, 1.45, 0.5) is None
    assert ablation.required_seeds(0.79, 1.45, 0.25) > ablation.required_seeds(0.79, 1.45, 0.1)


def _is_program(path: Path) -> bool:
    return 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
