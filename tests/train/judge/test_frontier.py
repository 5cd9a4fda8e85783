"""The frontier: a candidate is compared with the blend of the same error."""

import numpy as np
import pyarrow as pa
import pytest

from train.judge.frontier import ALPHAS, advantage, advantages, blend_name
from train.judge.frontier_plot import frontier_svg
from train.judge.summary import MetricSummary

PEOPLE = [f"p{k % 5}" for k in range(100)]


def table(top1: float, error: float) -> pa.Table:
    """100 swaps between five people, a share `top1` retrieved."""
    return pa.table(
        {
            "kind": ["cross"] * 100,
            "target_person": PEOPLE,
            "source_person": PEOPLE[1:] + PEOPLE[:1],
            "retrieved": np.arange(100) % 20 < 20 * top1,
            "landmark_error": np.full(100, error),
            "pose_error": np.full(100, 100 * error),
        }
    )


BLENDS = [table(alpha, alpha / 10) for alpha in ALPHAS]


@pytest.mark.parametrize(
    ("top1", "error", "expected"),
    [(0.5, 0.05, 0), (0.8, 0.05, 0.3), (0.1, 0.04, -0.3), (0.95, 0.5, 0.05)],
    ids=["on the line", "above", "below", "beyond the last blend"],
)
def test_the_advantage_is_the_distance_to_the_line(top1: float, error: float, expected: float) -> None:
    result = advantage(table(top1, error), BLENDS)
    for estimate in (result.landmark_error, result.pose_error):
        assert estimate.value == pytest.approx(expected, abs=1e-9)
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low - 1e-9 <= expected <= estimate.high + 1e-9


def test_swaps_without_a_face_are_left_out_and_blends_have_no_advantage() -> None:
    candidate = table(0.8, 0.05)
    errors = candidate["landmark_error"].to_numpy().copy()
    errors[::2] = np.nan
    column = pa.array(errors, from_pandas=True)
    candidate = candidate.set_column(candidate.schema.get_field_index("landmark_error"), "landmark_error", column)
    tables = {"a": candidate} | {blend_name(alpha): blend for alpha, blend in zip(ALPHAS, BLENDS, strict=True)}
    assert list(advantages(tables)) == ["a"]
    assert advantages({"a": candidate}) == {}


def test_the_plot_has_a_dot_for_each_candidate_and_escapes_names() -> None:
    def metrics(top1: float, error: float) -> dict[str, MetricSummary]:
        return {
            "top1": MetricSummary(top1, top1 - 0.05, top1 + 0.05, 100),
            "landmark_error": MetricSummary(error, error / 2, error * 2, 100),
            "pose_error": MetricSummary(None, None, None, 0),
        }

    models = {"<own>": metrics(0.8, 0.05)} | {blend_name(alpha): metrics(alpha, alpha / 10) for alpha in ALPHAS}
    svg = frontier_svg(models, "Top-1")
    assert "&lt;own&gt;" in svg
    assert "<own>" not in svg
    assert svg.count('r="4.5"') == 2  # the dot of one panel, and the legend
    assert svg.count("<polyline") == 1
