"""Photos of a dataset in the order of a column, or of their similarity to a photo: a contact sheet, a page, or links.

In: a decided dataset, and what to sort by. Out: one image (.jpg, .png), one page (.html), or a folder of symbolic links
to the source's photos; nothing is moved. `run(plan(SortRequest(dataset, out, by="sharpness")))` does all of it. To add
a form, write a function from `Sorted` and a path to a file, and add it to `FORMS` in sort.py.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.sort.sort import SortRequest, plan, run

__all__ = ["SortRequest", "plan", "run"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {"curate.sort.sort": ("SortRequest", "plan", "run")})
