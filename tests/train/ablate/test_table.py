"""Tables and plot of an ablation, of scores that are known."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pyarrow as pa
import pytest

from train.ablate.arm_result import AblationResult, ArmKey, ArmResult, FinishedArm
from train.ablate.plot import plot_svg
from train.ablate.table import make_rows, write_tables
from train.judge.score_table import COLUMNS, METRICS
from train.judge.summary import MetricSummary

KEY = ArmKey(revision=1, recipe="", data="", embedder="", judge="", judged="", pairs=6)


def finished(name: str, seed: int, first_ms: float, distance: float) -> FinishedArm:
    """An arm whose six pairs of three people all have this distance."""
    metrics = {metric.name: MetricSummary(0.5, None, None, 6) for metric in METRICS}
    columns = {field.name: [None] * 6 for field in COLUMNS}
    people = ["p0", "p1", "p2"] * 2
    columns |= {"kind": ["cross"] * 6, "distance": [distance] * 6, "gain": [0.1] * 6}
    columns |= {"target_person": people, "source_person": [*people[1:], people[0]]}
    result = ArmResult(name, seed, KEY, 8, 10, 3, 1000, 10**9, first_ms, 2.0, 60.0, 5.0, 0, "checkpoint", metrics)
    return FinishedArm(result, pa.table(columns, schema=COLUMNS))


def test_a_t_and_the_noise_floor_are_those_of_the_founding_report() -> None:
    arms = [finished("base", seed, 10.0, distance) for seed, distance in enumerate((0.9, 1.1))]
    arms += [finished("better", seed, 8.0, distance) for seed, distance in enumerate((0.6, 0.8))]
    base, better = make_rows(AblationResult(arms))
    assert (base.a, base.a_seed_min, base.a_seed_max) == pytest.approx((0, -10, 10), abs=1e-4)
    assert (better.a, better.a_seed_min, better.a_seed_max) == pytest.approx((30, 20, 40), abs=1e-4)
    assert (better.a_low, better.a_high) == pytest.approx((30, 30), abs=1e-4)  # all pairs are equal
    assert (base.t, better.t) == pytest.approx((0, 20))
    drawing = ElementTree.fromstring(plot_svg([base, better]))
    assert len(drawing.findall(".//{http://www.w3.org/2000/svg}circle")) == 2


def test_tables_are_written_where_every_arm_failed(tmp_path: Path) -> None:
    lines = write_tables(tmp_path, AblationResult([], {"base-seed0": "loss 'identity' is nan"}))
    assert lines[-1] == "**base-seed0** failed: loss 'identity' is nan"
    assert ElementTree.fromstring((tmp_path / "plot.svg").read_text()) is not None
