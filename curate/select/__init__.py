"""Selection: a decided dataset -> for each person the N photos that cover pose, light and expression best.

In: the kept faces of a dataset, and N. Out: a folder with `selection.csv`, which training and exports take as
`--selection`, `people.csv` and a page with a pose map of each person; no photo is moved and no verdict changes.
`run(plan(SelectRequest(dataset, out, per_person)))` does all of it; `choose` (choose.py) is its pure part. Axes and
their ranges are in cells.py: to add one, add an `Axis` to `AXES` and its number to `Candidates`.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.select.select import Selected, SelectRequest, plan, run

__all__ = ["SelectRequest", "Selected", "plan", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {"curate.select.select": ("SelectRequest", "Selected", "plan", "run")})
