"""Kept faces in a form that other tools read: `ExportRequest` -> `plan` -> `run`.

Images are byte copies of the stored JPEGs and PNGs. `OUT/.export.json` records what is exported, so that the same
request continues an export that was stopped, and a folder holds no faces of another dataset. To add a format, write a
function from an `ExportPlan` to `Exported` and add it to `FORMATS`.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.fingerprint import fingerprint
from curate.lineage import require_current
from curate.listener import SILENT, Listener, progress
from manifests.csv_rows import CsvWriter
from manifests.errors import DatasetError, OutputError
from manifests.file_names import UniqueNames
from manifests.layout import FINGERPRINT, MANIFEST
from manifests.output import OutputLock, atomic, is_temporary, sync_file_system, writable
from manifests.reader import Dataset
from manifests.records import read_record
from manifests.table_file import TableFile, footer
from manifests.writer import write_table

Advance = Callable[[int], None]

RECORD = ".export.json"
"""In the output folder: the `ExportRecord` of its faces."""

_BATCH = 256
_SHARD_BYTES = 256 << 20
_COLUMNS = (
    "image_id", "identity", "split", "shard", "crop_offset", "crop_length", "crop_crc", "mask_offset", "mask_length",
    "mask_crc",
)  # fmt: skip
_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

_CARD = """\
---
license: other
task_categories: [image-to-image]
---
# Faces curated with swapset

{faces} aligned faces of {people} people: `image` (JPEG, {template}), `mask` (label map of 19 CelebAMask-HQ classes on
the image's grid), `label` (the person), `image_id` (the photo in its source).

Licence: the images are parts of the photos they were cut from and remain under the terms of that collection; the
people in them keep their rights. Check both before you publish or use this dataset, and do not make it public without
the right to do so.
Source: {source}. Embedder: {embedder}. Policy: {policy}.
"""


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to.

    Attributes:
        dataset: directory of a curated dataset, merged or not.
        out: a folder that is new or empty, or that of an earlier run of the same request.
        format: "hf": Parquet that `datasets.load_dataset(out)` reads, with the columns image, mask, label (ClassLabel
            of the kept people, sorted) and image_id, in files of about 256 MiB. Splits are the source's; without any,
            all faces are `train`. README.md states the licence of the images. "folder":
            `faces/<identity>/<name>.jpg`, as `ImageFolder(out / "faces")` reads. Names are those of the photos, changed
            where they would not be valid on every file system, or not unique on those that ignore case (see
            `manifests.file_names`); `faces.csv` maps each file to its image_id and identity.
        masks: write `masks/<identity>/<name>.png` too; only for the format "folder", "hf" has them always.
    """

    dataset: Path
    out: Path
    format: Literal["hf", "folder"] = "hf"
    masks: bool = False


@dataclass(frozen=True)
class ExportRecord:
    """What an exported folder depends on.

    Attributes:
        format, masks: of the request.
        manifest: digest of the dataset's manifest.
        revision: of the exported files.
    """

    format: str
    masks: bool
    manifest: str
    revision: int = 1


@dataclass(frozen=True)
class ExportPlan:
    """A request, its opened dataset, the manifest rows of the faces to export, and the record of the folder."""

    request: ExportRequest
    dataset: Dataset
    faces: pa.Table
    record: ExportRecord


@dataclass(frozen=True)
class Exported:
    """Number of exported faces, of people, and of files with faces."""

    faces: int
    people: int
    files: int

    def summary(self) -> str:
        """Describe the result in one line."""
        return f"{self.faces:,} faces of {self.people:,} people"


def plan(request: ExportRequest) -> ExportPlan:
    """Open the dataset and find its kept faces. Writes nothing.

    Raises DatasetError without a manifest or where it is out of date, OutputError where the output folder has other
    files, or faces of another dataset, of other verdicts or in another format.
    """
    dataset = Dataset.open(request.dataset)
    require_current(dataset)
    kept = dataset.manifest(_COLUMNS, keep=True)
    export_plan = ExportPlan(
        request,
        dataset,
        kept.filter(pc.is_valid(kept["shard"])),
        ExportRecord(
            request.format, request.masks and request.format == "folder", TableFile(dataset.path / MANIFEST).digest
        ),
    )
    _is_recorded(export_plan)
    return export_plan


def run(export_plan: ExportPlan, listener: Listener = SILENT) -> Exported:
    """Write the faces that are not in the output folder yet. Nothing is written outside that folder.

    Stopped at any moment, no file is there in part. Files of an earlier run are kept if they hold what would be
    written, and are written again otherwise. The list of the files (faces.csv, README.md) is written last.

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
            f"{out} holds an export of another dataset, of other verdicts or in another form ({', '.join(differences)} "
            f"differ, see {out / RECORD}): choose a new folder as --out, or empty it"
        )
    return True


def _export_hf(export_plan: ExportPlan, advance: Advance) -> Exported:
    dataset, faces, out = export_plan.dataset, export_plan.faces, export_plan.request.out
    people = sorted(pc.unique(faces["identity"]).to_pylist())
    schema = _hf_schema(people)
    splits = faces["split"].fill_null("train")
    names = UniqueNames()
    files = 0
    for split in sorted(pc.unique(splits).to_pylist()):
        name = names.add(split)
        for number, part in enumerate(_parts(faces.filter(pc.equal(splits, split)))):
            path = out / "data" / f"{name}-{number:05d}.parquet"
            # With the part's faces, so that a change of `_parts` is noticed.
            stamp = fingerprint([asdict(export_plan.record), split, part["image_id"].to_pylist()])
            files += 1
            if _is_written(path, stamp):
                advance(part.num_rows)
                continue
            tables = (_hf_table(batch, people, schema) for batch in _batches(dataset, part, advance))
            write_table(path, tables, schema, {FINGERPRINT: stamp})
    card = _CARD.format(
        faces=faces.num_rows,
        people=len(people),
        template=dataset.info.template,
        source=dataset.info.source.kind,
        embedder=dataset.info.embedder_id,
        policy=dataset.policy_hash(),
    )
    with atomic(out / "README.md") as partial:
        partial.write_text(card, encoding="utf-8")
    return Exported(faces.num_rows, len(people), files)


def _export_folder(export_plan: ExportPlan, advance: Advance) -> Exported:
    request = export_plan.request
    names = _FaceNames()
    with (
        atomic(request.out / "faces.csv") as partial,
        open(partial, "w", newline="", encoding="utf-8", errors="surrogateescape") as index,
    ):
        table = CsvWriter(index, ["file", "image_id", "identity"])
        for batch in _batches(export_plan.dataset, export_plan.faces, advance):
            for row, crop, mask in zip(batch.rows, batch.crops, batch.masks, strict=True):
                name = names.add(row["identity"], row["image_id"])
                _write(request.out / "faces" / f"{name}.jpg", crop)
                if request.masks:
                    _write(request.out / "masks" / f"{name}.png", mask)
                table.write([f"faces/{name}.jpg", row["image_id"], row["identity"]])
        # Once for all files: thousands of small ones would otherwise wait for the disk one by one.
        sync_file_system(request.out)
    return Exported(export_plan.faces.num_rows, names.people, export_plan.faces.num_rows)


FORMATS: dict[str, Callable[[ExportPlan, Advance], Exported]] = {"hf": _export_hf, "folder": _export_folder}
"""Name of a format -> the function that writes it."""


@dataclass(frozen=True)
class _Batch:
    """Manifest rows of one shard, with their JPEGs and PNGs."""

    rows: list[dict[str, Any]]
    crops: list[bytes]
    masks: list[bytes]


def _batches(dataset: Dataset, faces: pa.Table, advance: Advance) -> Iterator[_Batch]:
    """Read the pixels of manifest rows, in batches of one shard each."""
    rows: list[dict[str, Any]] = []
    for table in faces.to_batches(max_chunksize=4096):
        for row in table.to_pylist():
            if rows and (row["shard"] != rows[0]["shard"] or len(rows) == _BATCH):
                yield _read_batch(dataset, rows)
                advance(len(rows))
                rows = []
            rows.append(row)
    if rows:
        yield _read_batch(dataset, rows)
        advance(len(rows))


def _read_batch(dataset: Dataset, rows: list[dict[str, Any]]) -> _Batch:
    shard = rows[0]["shard"]
    crops, masks = (
        dataset.pixels.many(shard, *([row[f"{name}_{value}"] for row in rows] for value in ("offset", "length", "crc")))
        for name in ("crop", "mask")
    )
    return _Batch(rows, crops, masks)


def _is_written(path: Path, stamp: str) -> bool:
    """Whether `path` is a whole Parquet file with this fingerprint."""
    try:
        return (footer(path) or {}).get(FINGERPRINT) == stamp
    except DatasetError:  # damaged since
        return False


def _parts(faces: pa.Table) -> Iterator[pa.Table]:
    """Divide manifest rows into parts whose pixels have the size of a file."""
    ends = np.cumsum(pc.add(faces["crop_length"], faces["mask_length"]).to_numpy().astype(np.int64))
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = min(int(np.searchsorted(ends, before + _SHARD_BYTES)) + 1, len(ends))
        yield faces.slice(start, stop - start)
        start = stop


class _FaceNames:
    """Portable, unique names of faces: `folder/file`, without a suffix."""

    def __init__(self) -> None:
        self._names = UniqueNames()
        self._folders: dict[str, tuple[str, UniqueNames]] = {}

    def add(self, identity: str, image_id: str) -> str:
        """The name of a face of the photo `image_id`; each identity has a folder of its own."""
        if identity not in self._folders:
            self._folders[identity] = self._names.add(identity), UniqueNames()
        folder, files = self._folders[identity]
        return f"{folder}/{files.add(image_id.rsplit('/', 1)[-1].rsplit('.', 1)[0])}"

    @property
    def people(self) -> int:
        """Number of identities."""
        return len(self._folders)


def _write(path: Path, data: bytes) -> None:
    """Write a file of this content, unless there is one."""
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    with atomic(path, sync=False) as partial:
        partial.write_bytes(data)


def _hf_schema(people: list[str]) -> pa.Schema:
    features = {
        "image": {"_type": "Image"},
        "mask": {"_type": "Image"},
        "label": {"names": people, "_type": "ClassLabel"},
        "image_id": {"dtype": "string", "_type": "Value"},
    }
    types = {"image": _IMAGE, "mask": _IMAGE, "label": pa.int64(), "image_id": pa.string()}
    return pa.schema(list(types.items()), {"huggingface": json.dumps({"info": {"features": features}})})


def _hf_table(batch: _Batch, people: list[str], schema: pa.Schema) -> pa.Table:
    identities = pa.array([row["identity"] for row in batch.rows], pa.string())
    columns = [
        pa.array([{"bytes": data, "path": None} for data in batch.crops], _IMAGE),
        pa.array([{"bytes": data, "path": None} for data in batch.masks], _IMAGE),
        pc.index_in(identities, pa.array(people, pa.string())).cast(pa.int64()),
        pa.array([row["image_id"] for row in batch.rows], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema)
