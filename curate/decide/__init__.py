"""Step 3, decide: measures, relations and a policy -> one verdict per photo, with all reasons that apply.

In: a related dataset, a `Policy`, and the human verdicts in `overrides.csv`. Out: `manifest.parquet`. Takes seconds;
nothing is measured again. `run(DecideRequest(dataset, policy))` does all of it; `decide_collection` is its pure part.
To add a reason: name it in `manifests.schema.REASONS`, and add its thresholds to `Policy` and a rule to `RULES` in
rules.py; presets, the report and the reference pages derive from them. To add a question about a collection as a whole:
a check in `CHECKS` (checks.py).
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.decide.check import Check, Finding
    from curate.decide.checks import CHECKS
    from curate.decide.collection import DecidedCollection, Part, TablePart, decide_collection
    from curate.decide.decide import Decided, DecideRequest, run
    from curate.decide.policy import POLICIES, load_policy
    from curate.decide.rule import Chart, Columns, Rule
    from curate.decide.rules import RULES, Policy

__all__ = [
    "CHECKS", "POLICIES", "RULES", "Chart", "Check", "Columns", "DecideRequest", "Decided", "DecidedCollection",
    "Finding", "Part", "Policy", "Rule", "TablePart", "decide_collection", "load_policy", "run",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.decide.check": ("Check", "Finding"),
            "curate.decide.checks": ("CHECKS",),
            "curate.decide.collection": ("DecidedCollection", "Part", "TablePart", "decide_collection"),
            "curate.decide.decide": ("DecideRequest", "Decided", "run"),
            "curate.decide.policy": ("POLICIES", "load_policy"),
            "curate.decide.rule": ("Chart", "Columns", "Rule"),
            "curate.decide.rules": ("RULES", "Policy"),
        },
    )
