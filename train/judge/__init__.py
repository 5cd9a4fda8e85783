"""Evaluation of checkpoints: do swaps show the source's identity and keep the target's pose?

In: a `JudgeRequest`, that is a checkpoint, optionally a baseline, and a dataset. Out: `pairs.parquet` (one row per
pair and model), `summary.json` and `index.html`. `pairs` selects faces that no checkpoint was trained on, `candidate`
swaps them, `judge` embeds and detects, `pair_scores` and `summary` compute the numbers.
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
