"""Kept faces in a form that other tools read: `ExportRequest` -> `plan` -> `run`.

In: the kept faces of a dataset, or those of a selection. Out: a folder with byte copies of the stored JPEGs and PNGs.
`OUT/.export.json` records what is exported, so that the same request continues an export that was stopped, and a folder
holds no faces of another dataset. To add a format, write a module with a function from an `ExportPlan` to `Exported`,
and add it to `FORMATS` in formats.py. `write_list` (photo_list.py) writes the kept list as text.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.export.export import plan, run
    from curate.export.photo_list import require_list_name, write_list
    from curate.export.request import Exported, ExportPlan, ExportRequest

__all__ = ["ExportPlan", "ExportRequest", "Exported", "plan", "require_list_name", "run", "write_list"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.export.export": ("plan", "run"),
            "curate.export.photo_list": ("require_list_name", "write_list"),
            "curate.export.request": ("ExportPlan", "ExportRequest", "Exported"),
        },
    )
