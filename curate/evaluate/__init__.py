"""Evaluation: precision and recall of the verdicts on photos whose faults are known.

In: a clean source. Out: precision, recall and F1 of each reason (`evaluate`), a blur calibration for the source
(`calibrate`), or the demo's folder with its truth (`demo`). A new fault is a kind in `planting.REASON` and its
pixels in `planted_files`; a new degradation is a rung of `degradations.LADDER`.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.evaluate.evaluate import EvaluatePlan, EvaluateRequest, Evaluation, plan, run

__all__ = ["EvaluatePlan", "EvaluateRequest", "Evaluation", "plan", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__, {"curate.evaluate.evaluate": ("EvaluatePlan", "EvaluateRequest", "Evaluation", "plan", "run")}
    )
