"""A curated dataset -> its kept faces in a form that other tools read; byte copies of the stored JPEGs and PNGs."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.listener import SILENT, Listener, progress
from manifests.errors import OutputError
from manifests.output import writable
from manifests.reader import Dataset
from manifests.writer import write_table

_BATCH = 256
_SHARD = 256 << 20
_COLUMNS = ("image_id", "identity", "split", "shard", "crop_offset", "crop_length", "mask_offset", "mask_length")
_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')

_CARD = """\
---
license: other
task_categories: [image-to-image]
---
# Faces curated with swapset

{faces} aligned faces of {people} people: `image` (JPEG, {template}), `mask` (label map of 19 CelebAMask-HQ classes on
the image's grid), `label` (the person), `image_id` (the photo in its source).

Licence: the pictures are parts of the photos they were taken from and keep that collection's terms; its people keep
their rights. Check both before you publish or use this, and do not make it public without the right to.
Source: {source}. Embedder: {embedder}. Policy: {policy}.
"""


@dataclass(frozen=True)
class Exported:
    """What an export wrote: faces, people, files of faces."""

    faces: int
    people: int
    files: int


@dataclass(frozen=True)
class _Batch:
    rows: list[dict[str, Any]]
    crops: list[bytes]
    masks: list[bytes]


def export_hf(dataset: Dataset, out: Path, listener: Listener = SILENT) -> Exported:
    """Kept faces as Parquet in `out`, a new folder: `datasets.load_dataset(out)` gives image, mask, label, image_id.

    `label` is a ClassLabel of the kept people in sorted order, `mask` a label map. Splits are the source's; without any
    all is `train`. Files are of 256 MiB or a little more. A README.md says whose licence the pictures are under.
    Raises OutputError: `out` is not empty or cannot be written; DatasetError: no manifest, or a shard is missing.
    """
    _claim(out)
    kept = dataset.manifest(_COLUMNS, verdict="keep")
    kept = kept.filter(pc.is_valid(kept["shard"]))
    people = sorted(pc.unique(kept["identity"]).to_pylist())
    schema = _hf_schema(people)
    done = files = 0
    splits = kept["split"].fill_null("train")
    with progress(listener, "exporting", kept.num_rows, "faces") as advance:
        for split in sorted(pc.unique(splits).to_pylist()):
            batches = _batches(dataset, kept.filter(pc.equal(splits, split)))
            waiting = next(batches, None)
            number = 0
            while waiting is not None:
                tables: list[pa.Table] = []
                while waiting is not None and sum(table.nbytes for table in tables) < _SHARD:
                    tables.append(_hf_table(waiting, people, schema))
                    done += len(waiting.rows)
                    advance(len(waiting.rows))
                    waiting = next(batches, None)
                write_table(out / "data" / f"{_safe(split)}-{number:05d}.parquet", tables, schema)
                number += 1
            files += number
    card = _CARD.format(
        faces=done, people=len(people), template=dataset.info.template, source=dataset.info.source.kind,
        embedder=dataset.info.embedder_id, policy=dataset.policy_hash(),
    )  # fmt: skip
    with writable(out):
        (out / "README.md").write_text(card, encoding="utf-8")
    return Exported(done, len(people), files)


def export_folder(dataset: Dataset, out: Path, masks: bool = False, listener: Listener = SILENT) -> Exported:
    """Kept faces as files in `out`, a new folder: `faces/<identity>/<name>.jpg`, as `ImageFolder(out / "faces")` reads.

    With `masks` the label maps too, as `masks/<identity>/<name>.png`. Names are the photos' own, made safe for every
    file system and unique; `faces.csv` says which photo each file shows. Nothing is written outside `out` and nothing
    replaced. Raises OutputError: `out` is not empty or cannot be written; DatasetError: as `export_hf`.
    """
    _claim(out)
    kept = dataset.manifest(_COLUMNS, verdict="keep")
    kept = kept.filter(pc.is_valid(kept["shard"]))
    folders = _Folders()
    done = 0
    with (
        writable(out),
        open(out / "faces.csv", "x", newline="", encoding="utf-8", errors="surrogateescape") as index,
        progress(listener, "exporting", kept.num_rows, "faces") as advance,
    ):
        table = csv.writer(index, lineterminator="\n")
        table.writerow(["file", "image_id", "identity"])
        for batch in _batches(dataset, kept):
            for row, crop, mask in zip(batch.rows, batch.crops, batch.masks, strict=True):
                stem = _safe(row["image_id"].rsplit("/", 1)[-1].rsplit(".", 1)[0])
                path = _write_new(out / "faces" / folders.of(row["identity"]), stem, crop)
                if masks:
                    where = out / "masks" / path.parent.name
                    where.mkdir(parents=True, exist_ok=True)
                    (where / f"{path.stem}.png").write_bytes(mask)
                table.writerow([path.relative_to(out).as_posix(), row["image_id"], row["identity"]])
            done += len(batch.rows)
            advance(len(batch.rows))
    return Exported(done, len(folders), done)


class _Folders:
    """identity -> a folder name of its own, safe on file systems that ignore case too."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, identity: str) -> str:
        if identity not in self._names:
            plain = name = _safe(identity)
            number = 1
            while name.casefold() in self._taken:
                number += 1
                name = f"{plain}-{number}"
            self._taken.add(name.casefold())
            self._names[identity] = name
        return self._names[identity]

    def __len__(self) -> int:
        return len(self._names)


def _claim(out: Path) -> None:
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise OutputError(f"{out} is not empty: choose a new folder as --out, or empty it")


def _batches(dataset: Dataset, faces: pa.Table) -> Iterator[_Batch]:
    """Rows of the manifest -> the same in batches of one shard each, with their pixels."""
    rows: list[dict[str, Any]] = []
    for table in faces.to_batches(max_chunksize=4096):
        for row in table.to_pylist():
            if rows and (row["shard"] != rows[0]["shard"] or len(rows) == _BATCH):
                yield _read(dataset, rows)
                rows = []
            rows.append(row)
    if rows:
        yield _read(dataset, rows)


def _read(dataset: Dataset, rows: list[dict[str, Any]]) -> _Batch:
    shard = rows[0]["shard"]
    crops, masks = (
        dataset.pixels.many(shard, [row[f"{name}_offset"] for row in rows], [row[f"{name}_length"] for row in rows])
        for name in ("crop", "mask")
    )
    return _Batch(rows, crops, masks)


def _safe(name: str) -> str:
    """One path component -> one that every file system takes and that stays where it is put."""
    name = _UNSAFE.sub("_", name).strip(" ")[:120].rstrip(" .")
    return name if name.strip("._") else "_" + name.strip(".")


def _write_new(folder: Path, stem: str, data: bytes) -> Path:
    """Write `data` to a file that was not there before: stem.jpg, or else stem-2.jpg and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = folder / (f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg")
        try:
            with open(path, "xb") as file:
                file.write(data)
            return path
        except FileExistsError:
            number += 1


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
