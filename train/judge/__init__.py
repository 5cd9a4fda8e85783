"""Evaluation of generators: do swaps show the source's identity and keep the target's pose and expression?

In: a `JudgeRequest`, that is candidates by name, a dataset, and the swaps (a protocol file, or a sample of people whom
no candidate was trained on). Out: `pairs.parquet` (one row per pair, candidate and judge), `summary.json`,
`summary.csv`, `index.html` and, with a protocol, `frontier.svg`. `pairs` and `protocol` select faces and pairs,
`candidate` and `onnx_candidate` swap them, `judge` and `measurement` measure, `pair_scores` and `tables` compute.
To add a metric: write its function in `metrics`, and add an entry to `PAIR_SCORES` and to `METRICS` in `score_table`.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from train.judge.evaluate import JudgePlan, JudgeRequest, plan, run
    from train.judge.summary import JudgeSummary

__all__ = ["JudgePlan", "JudgeRequest", "JudgeSummary", "plan", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "train.judge.evaluate": ("JudgePlan", "JudgeRequest", "plan", "run"),
            "train.judge.summary": ("JudgeSummary",),
        },
    )
