"""Ablation: trains recipes, and policies of the data, from the same seeds, and compares their swaps.

In: an `AblateRequest`, that is arms (a recipe on a dataset or a view of one). Out: a run of `simswap fit` per arm, and
the tables and the plot of `table` and `plot`. `arms` lists arms and creates views, `train_arm` trains and scores one,
`estimate` predicts memory and time, `timing` measures forward passes.
To add a number to the tables: add a field to `arm_result.ArmResult` and to `arm_row.ArmRow`.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from train.ablate.ablate import AblatePlan, AblateRequest, plan, run
    from train.ablate.arm_result import AblationResult
    from train.ablate.arms import Arm

__all__ = ["AblatePlan", "AblateRequest", "AblationResult", "Arm", "plan", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "train.ablate.ablate": ("AblatePlan", "AblateRequest", "plan", "run"),
            "train.ablate.arm_result": ("AblationResult",),
            "train.ablate.arms": ("Arm",),
        },
    )
