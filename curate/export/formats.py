"""FORMATS: the formats of `curate export`."""

from collections.abc import Callable

from curate.export.fiftyone import export_fiftyone
from curate.export.folder import export_folder
from curate.export.hf import export_hf
from curate.export.request import Advance, Exported, ExportPlan
from curate.export.webdataset import export_webdataset

FORMATS: dict[str, Callable[[ExportPlan, Advance], Exported]] = {
    "hf": export_hf,
    "folder": export_folder,
    "webdataset": export_webdataset,
    "fiftyone": export_fiftyone,
}
"""Name of a format -> the function that writes it."""
