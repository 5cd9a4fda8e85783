"""Reading the pixels of exported faces in batches, and the names and parts of their files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.export.request import Advance
from manifests.file_names import UniqueNames
from manifests.output import atomic
from manifests.reader import Dataset

SHARD_BYTES = 256 << 20
"""Size of an exported file of many faces, about."""

_BATCH = 256


@dataclass(frozen=True)
class Batch:
    """Manifest rows of one shard, with their JPEGs and PNGs."""

    rows: list[dict[str, Any]]
    crops: list[bytes]
    masks: list[bytes]


def batches(dataset: Dataset, faces: pa.Table, advance: Advance) -> Iterator[Batch]:
    """Read the pixels of manifest rows, in batches of one shard each."""
    rows: list[dict[str, Any]] = []
    for table in faces.to_batches(max_chunksize=4096):
        for row in table.to_pylist():
            if rows and (row["shard"] != rows[0]["shard"] or len(rows) == _BATCH):
                yield _read(dataset, rows)
                advance(len(rows))
                rows = []
            rows.append(row)
    if rows:
        yield _read(dataset, rows)
        advance(len(rows))


def parts(faces: pa.Table) -> Iterator[pa.Table]:
    """Divide manifest rows into parts whose pixels have the size of a file."""
    ends = np.cumsum(pc.add(faces["crop_length"], faces["mask_length"]).to_numpy().astype(np.int64))
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = min(int(np.searchsorted(ends, before + SHARD_BYTES)) + 1, len(ends))
        yield faces.slice(start, stop - start)
        start = stop


def split_parts(faces: pa.Table) -> Iterator[tuple[str, int, pa.Table]]:
    """Yield the files of an export: portable name of the split, number of the file in it, rows of the manifest."""
    names = UniqueNames()
    for split in sorted(pc.unique(faces["split"]).to_pylist()):
        name = names.add(split)
        for number, part in enumerate(parts(faces.filter(pc.equal(faces["split"], split)))):
            yield name, number, part


class FaceNames:
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


def write_image(path: Path, data: bytes) -> None:
    """Write a file of this content, unless there is one. The caller syncs the file system after many of them."""
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    with atomic(path, sync=False) as partial:
        partial.write_bytes(data)


def people_of(faces: pa.Table) -> list[str]:
    """Return the identities of manifest rows, sorted: the index of a name is its label."""
    return sorted(pc.unique(faces["identity"]).to_pylist())


def _read(dataset: Dataset, rows: list[dict[str, Any]]) -> Batch:
    shard = rows[0]["shard"]
    crops, masks = (
        dataset.pixels.many(shard, *([row[f"{name}_{value}"] for row in rows] for value in ("offset", "length", "crc")))
        for name in ("crop", "mask")
    )
    return Batch(rows, crops, masks)
