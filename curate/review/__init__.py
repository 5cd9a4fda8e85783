"""A person decides: a local web page on a decided dataset, whose decisions become `overrides.csv`.

In: a dataset and its manifest. Out: `review/decisions.jsonl`, the log of decisions, `overrides.csv`, which is derived
from it and may still be edited by hand, and a manifest that is up to date when the review ends.
`run(ReviewRequest(dataset))` serves the page until it is interrupted. To add an action: an entry in `ACTIONS`
(actions.py) and its key in `page/review.js`; a queue: an entry in queues.py.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.review.review import ReviewRequest, run

__all__ = ["ReviewRequest", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {"curate.review.review": ("ReviewRequest", "run")})
