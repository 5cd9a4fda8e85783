"""Step 4, report: a decided dataset -> static HTML pages that open from disk, without network or script.

In: `manifest.parquet`, crops, and the source's photos where they are still present. Out: `report/index.html` and its
pictures. `run(dataset)` does all of it. Explanations, examples and histograms of a reason derive from its rule in
`curate.decide.rules`; a chart or a table of drop rates that belongs to no rule is an entry in summary.py.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.report.report import run

__all__ = ["run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {"curate.report.report": ("run",)})
