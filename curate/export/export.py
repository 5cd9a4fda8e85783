"""Plan and run an export."""

import json
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from curate.export.fiftyone import FIELDS
from curate.export.formats import FORMATS
from curate.export.request import Exported, ExportPlan, ExportRecord, ExportRequest
from curate.lineage import require_current
from curate.listener import SILENT, Listener, progress
from manifests.errors import DatasetError, OutputError
from manifests.identity import is_held_out
from manifests.layout import MANIFEST
from manifests.output import OutputLock, atomic, writable
from manifests.partials import is_temporary
from manifests.reader import Dataset
from manifests.records import read_record
from manifests.selection import read_selection
from manifests.table_file import TableFile

RECORD = ".export.json"
"""In the output folder: the `ExportRecord` of its faces."""

_COLUMNS = (
    "image_id", "identity", "split", "shard", "crop_offset", "crop_length", "crop_crc", "mask_offset", "mask_length",
    "mask_crc",
)  # fmt: skip
_WITH_MASK_FILES = ("folder", "fiftyone")
_WITHOUT_SPLITS = ("folder",)


def plan(request: ExportRequest) -> ExportPlan:
    """Open the dataset and find the faces to export. Writes nothing.

    Raises DatasetError without a manifest, where it is out of date, or where no photo, or not every selected one, is
    kept; OutputError where the output folder has other files, or faces of another dataset, of other verdicts or in
    another format.
    """
    dataset = Dataset.open(request.dataset)
    require_current(dataset)
    columns = dict.fromkeys((*_COLUMNS, *(FIELDS if request.format == "fiftyone" else ())))
    faces = dataset.manifest(list(columns), keep=True)
    faces = faces.filter(pc.is_valid(faces["shard"]))
    if not faces.num_rows:
        raise DatasetError(f"{dataset.path}: no photo with a face is kept: decide by a milder policy")
    selection = read_selection(request.selection) if request.selection else None
    if selection:
        faces = selection.rows_of(faces)
    export_plan = ExportPlan(
        request,
        dataset,
        faces.set_column(faces.schema.get_field_index("split"), "split", _splits(faces, request.test_people)),
        ExportRecord(
            request.format,
            request.masks and request.format in _WITH_MASK_FILES,
            TableFile(dataset.path / MANIFEST).digest,
            selection.digest if selection else None,
            request.test_people if request.format not in _WITHOUT_SPLITS else 0.0,
        ),
    )
    _is_recorded(export_plan)
    return export_plan


def run(export_plan: ExportPlan, listener: Listener = SILENT) -> Exported:
    """Write the faces that are not in the output folder yet. Nothing is written outside that folder.

    Stopped at any moment, no file is there in part. Files of an earlier run are kept if they hold what would be
    written, and are written again otherwise. The list of the files (faces.csv, README.md, metadata.json) is written
    last.

    Raises OutputError where the output cannot be written or has other files, BusyError where another run uses it,
    DatasetError where a shard is missing.
    """
    out = export_plan.request.out
    with OutputLock(out):
        if not _is_recorded(export_plan):
            with atomic(out / RECORD) as partial:
                partial.write_text(json.dumps(asdict(export_plan.record), indent=2) + "\n", encoding="utf-8")
        with progress(listener, "exporting", export_plan.faces.num_rows, "faces") as advance:
            return FORMATS[export_plan.request.format](export_plan, advance)


def _splits(faces: pa.Table, test_people: float) -> pa.ChunkedArray:
    """The split of each face."""
    if not test_people:
        return pc.fill_null(faces["split"], "train")
    held_out = [name for name in pc.unique(faces["identity"]).to_pylist() if is_held_out(name, test_people)]
    return pc.if_else(pc.is_in(faces["identity"], pa.array(held_out, pa.string())), "test", "train")


def _is_recorded(export_plan: ExportPlan) -> bool:
    """Whether the output folder has the record of this export; False where it is new or empty.

    Raises OutputError where it has other files, or the record of another export.
    """
    out, record = export_plan.request.out, asdict(export_plan.record)
    with writable(out):
        names = [path.name for path in out.iterdir() if not is_temporary(path.name)] if out.exists() else []
    if not names:
        return False
    if RECORD not in names:
        raise OutputError(f"{out} is not empty: choose a new folder as --out, or empty it")
    recorded = asdict(read_record(out / RECORD, ExportRecord, OutputError, "choose a new folder as --out, or empty it"))
    differences = sorted(key for key in record | recorded if record.get(key) != recorded.get(key))
    if differences:
        raise OutputError(
            f"{out} holds an export of another dataset, of other verdicts or in another form (different: "
            f"{', '.join(differences)}; see {out / RECORD}): choose a new folder as --out, or empty it"
        )
    return True
