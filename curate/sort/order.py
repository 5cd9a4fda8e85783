"""The order of photos: by a column of the manifest, or by similarity to a face."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import DatasetError
from manifests.reader import Dataset
from manifests.schema import MANIFEST

SIMILARITY = "similarity"
"""Name of the value that photos are sorted by where they are compared with a photo."""

_SORTABLE = {
    column.name for column in MANIFEST if not (pa.types.is_list(column.dtype) or pa.types.is_binary(column.dtype))
}


@dataclass(frozen=True)
class Sorted:
    """Photos in order.

    Attributes:
        dataset: what they are of.
        by: name of the value that they are sorted by.
        rows: of the manifest, in order, each with the value as `value`.
        total: photos that the filters leave, before `limit`.
    """

    dataset: Dataset
    by: str
    rows: Sequence[dict[str, Any]]
    total: int


def check_column(name: str) -> str:
    """Return `name` if it is a column to sort by. Raises DatasetError that lists them."""
    if name not in _SORTABLE:
        raise DatasetError(f"no column to sort by is called {name!r}; choose {', '.join(sorted(_SORTABLE))}")
    return name


def by_column(table: pa.Table, name: str, descending: bool) -> pa.Table:
    """Sort rows by a column, nulls last; equal values by image_id. The value is added as `value`."""
    values = table[name]
    if pa.types.is_dictionary(values.type):
        values = values.cast(pa.string())
    table = table.append_column("value", values)
    keys = [("value", "descending" if descending else "ascending"), ("image_id", "ascending")]
    return table.take(pc.sort_indices(table, sort_keys=keys))


def by_similarity(dataset: Dataset, table: pa.Table, vector: npt.NDArray[np.float32], descending: bool) -> pa.Table:
    """Sort the rows with a face by the cosine to a unit vector (D,), the least similar first unless `descending`."""
    faces = table.filter(pc.is_valid(table["shard"]))
    similarity = np.asarray(dataset.embeddings_for(faces), np.float32) @ vector if faces.num_rows else np.empty(0)
    return by_column(faces.append_column(SIMILARITY, pa.array(similarity, pa.float32())), SIMILARITY, descending)


def vector_of(dataset: Dataset, photo: str) -> npt.NDArray[np.float32]:
    """Return the unit vector (D,) of a photo: an image_id of the dataset, else the path of an image file.

    Raises DatasetError where it is neither, or shows no face.
    """
    manifest = dataset.manifest(["image_id", "face_id", "shard"])
    rows = manifest.filter(pc.equal(manifest["image_id"], photo))
    if rows.num_rows:
        if rows["shard"].null_count:
            raise DatasetError(f"{photo} shows no face to compare with; give another photo")
        return np.asarray(dataset.embeddings_for(rows)[0], np.float32)
    path = Path(photo)
    if not path.is_file():
        raise DatasetError(f"{photo!r} is neither an image_id of {dataset.path} nor a file")
    return _vector_of_file(dataset, path)


def _vector_of_file(dataset: Dataset, path: Path) -> npt.NDArray[np.float32]:
    """The vector of the largest face of an image file, by the models of the dataset."""
    from curate.faces.models import check_device, load
    from curate.measure.pipeline import Pipeline
    from curate.measure.settings import MeasureSettings
    from curate.measure.shards import entries_of
    from curate.sources import open_source

    choice = dataset.info.models.choice
    if choice is None:
        raise DatasetError(f"{dataset.path} does not record its models: give an image_id of it")
    source = open_source("folder", path.parent, "none")
    entries = [entry for entry in entries_of(source, source.identities()) if entry.image_id == path.name]
    for batch in Pipeline(source, load(choice, check_device(None)), MeasureSettings())(entries):
        if len(batch.faces.photo):  # the largest face of a photo is its first
            return np.asarray(batch.embeddings[0], np.float32)
    raise DatasetError(f"{path}: no face was detected; give another photo")
