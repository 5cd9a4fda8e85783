"""Kept faces in a form that other tools read: `ExportRequest` -> `plan` -> `run`.

Images are byte copies of the stored JPEGs and PNGs. To add a format, write a function from an `ExportPlan` to
`Exported` and add it to `FORMATS`.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from curate.listener import SILENT, Listener, progress
from manifests.errors import OutputError
from manifests.file_names import UniqueNames
from manifests.output import writable
from manifests.reader import Dataset
from manifests.writer import write_table

Advance = Callable[[int], None]

_BATCH = 256
_SHARD_BYTES = 256 << 20
_COLUMNS = ("image_id", "identity", "split", "shard", "crop_offset", "crop_length", "mask_offset", "mask_length")
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
        out: a folder that is new or empty.
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
class ExportPlan:
    """A request, its opened dataset, and the manifest rows of the faces to export."""

    request: ExportRequest
    dataset: Dataset
    faces: pa.Table


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

    Raises DatasetError without a manifest, OutputError where the output folder is not empty.
    """
    with writable(request.out):
        occupied = request.out.exists() and any(request.out.iterdir())
    if occupied:
        raise OutputError(f"{request.out} is not empty: choose a new folder as --out, or empty it")
    dataset = Dataset.open(request.dataset)
    kept = dataset.manifest(_COLUMNS, verdict="keep")
    return ExportPlan(request, dataset, kept.filter(pc.is_valid(kept["shard"])))


def run(export_plan: ExportPlan, listener: Listener = SILENT) -> Exported:
    """Write the faces. Nothing is written outside the output folder, and nothing is replaced.

    Raises OutputError where the output cannot be written, DatasetError where a shard is missing.
    """
    out = export_plan.request.out
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
    with progress(listener, "exporting", export_plan.faces.num_rows, "faces") as advance:
        return FORMATS[export_plan.request.format](export_plan, advance)


def _export_hf(export_plan: ExportPlan, advance: Advance) -> Exported:
    dataset, faces, out = export_plan.dataset, export_plan.faces, export_plan.request.out
    people = sorted(pc.unique(faces["identity"]).to_pylist())
    schema = _hf_schema(people)
    splits = faces["split"].fill_null("train")
    names = UniqueNames()
    files = 0
    for split in sorted(pc.unique(splits).to_pylist()):
        name = names.add(split)
        batches = _batches(dataset, faces.filter(pc.equal(splits, split)), advance)
        for number, tables in enumerate(_grouped(_hf_table(batch, people, schema) for batch in batches)):
            write_table(out / "data" / f"{name}-{number:05d}.parquet", tables, schema)
            files += 1
    card = _CARD.format(
        faces=faces.num_rows,
        people=len(people),
        template=dataset.info.template,
        source=dataset.info.source.kind,
        embedder=dataset.info.embedder_id,
        policy=dataset.policy_hash(),
    )
    with writable(out):
        (out / "README.md").write_text(card, encoding="utf-8")
    return Exported(faces.num_rows, len(people), files)


def _export_folder(export_plan: ExportPlan, advance: Advance) -> Exported:
    request = export_plan.request
    names = _FaceNames()
    with (
        writable(request.out),
        open(request.out / "faces.csv", "x", newline="", encoding="utf-8", errors="surrogateescape") as index,
    ):
        table = csv.writer(index, lineterminator="\n")
        table.writerow(["file", "image_id", "identity"])
        for batch in _batches(export_plan.dataset, export_plan.faces, advance):
            for row, crop, mask in zip(batch.rows, batch.crops, batch.masks, strict=True):
                name = names.add(row["identity"], row["image_id"])
                _write_new(request.out / "faces" / f"{name}.jpg", crop)
                if request.masks:
                    _write_new(request.out / "masks" / f"{name}.png", mask)
                table.writerow([f"faces/{name}.jpg", row["image_id"], row["identity"]])
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
        dataset.pixels.many(shard, [row[f"{name}_offset"] for row in rows], [row[f"{name}_length"] for row in rows])
        for name in ("crop", "mask")
    )
    return _Batch(rows, crops, masks)


def _grouped(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    """Group tables until a group has the size of a file."""
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(part.nbytes for part in group) >= _SHARD_BYTES:
            yield group
            group = []
    if group:
        yield group


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


def _write_new(path: Path, data: bytes) -> None:
    """Write `data` to a file that does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        file.write(data)


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
