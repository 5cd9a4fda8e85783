"""Times of forward passes: measured, and read again for the same architectures."""

from dataclasses import replace
from pathlib import Path

import pytest

from curate.listener import SILENT
from tests.samples.tiny_training import write_recipe
from train.ablate import timing
from train.ablate.timing import Timing, read_or_measure
from train.config import load_recipe


def test_each_architecture_is_timed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def measure(recipes: list[object], *_: object) -> list[Timing]:
        counts.append(len(recipes))
        return [Timing(1, 1) for _ in recipes]

    monkeypatch.setattr(timing, "time_in_fresh_processes", measure)
    recipe = load_recipe(write_recipe(tmp_path))
    recipes = [recipe, replace(recipe, seed=1, images=48), replace(recipe, width=16)]
    for _ in range(2):
        assert len(read_or_measure(tmp_path / "timings.json", recipes, 128, "cpu", SILENT)) == 2
    assert counts == [2]


def test_a_generator_is_timed(tmp_path: Path) -> None:
    measured = timing.time_in_this_process(load_recipe(write_recipe(tmp_path)), 128, "cpu")
    assert measured.first > 0
    assert measured.steady > 0
    assert timing.multiply_adds_per_second("cpu") > 0
