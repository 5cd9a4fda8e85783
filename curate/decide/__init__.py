"""Step 3, decide: measures, relations and a policy -> one verdict per photo, with all reasons that apply.

In: a related dataset, a `Policy`, and the human verdicts in `overrides.csv`. Out: `manifest.parquet`. Takes seconds;
nothing is measured again.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.decide.decide import Decided
    from curate.decide.policy import Policy, load_policy
    from curate.decide.step import run

__all__ = ["Decided", "Policy", "load_policy", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.decide.decide": ("Decided",),
            "curate.decide.policy": ("Policy", "load_policy"),
            "curate.decide.step": ("run",),
        },
    )
