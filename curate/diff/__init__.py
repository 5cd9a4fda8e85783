"""Differences between two decisions on the same photos: what flips, in pictures.

In: two decided datasets, or one and another policy. Out: a folder with `diff.csv` and a page. The datasets are
not changed. `run(plan(DiffRequest(before, after=other)))` does all of it; `compare` (flips.py) is its pure part.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.diff.diff import Differences, DiffRequest, plan, run

__all__ = ["DiffRequest", "Differences", "plan", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {"curate.diff.diff": ("DiffRequest", "Differences", "plan", "run")})
