"""The tables of metrics agree: every mean has a column, which is computed for pairs of its kind and has a meaning."""

import pytest

from train.judge.score_table import COLUMNS, METRICS, PAIR_SCORES, Metric

SCORES = {score.column: score for score in PAIR_SCORES}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_the_mean_of_a_score(metric: Metric) -> None:
    score = SCORES[metric.column]
    assert metric.kind in score.kinds
    assert metric.better in ("lower", "higher", "")
    assert metric.unit in (score.metadata.get("unit", ""), "%")


def test_every_score_is_a_column_with_a_meaning() -> None:
    for name, score in SCORES.items():
        assert COLUMNS.field(name).metadata[b"meaning"].decode() == score.metadata["meaning"]
    assert len({metric.name for metric in METRICS}) == len(METRICS)
