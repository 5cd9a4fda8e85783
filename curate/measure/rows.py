"""A measured batch -> rows of the three tables that a shard is made of."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.measure.pipeline import Measured
from manifests.schema import FACE_NUMBERS, arrow_schema, embeddings_schema

Rows = npt.NDArray[np.int64]

_PIXEL_COLUMNS = ("shard", "crop_offset", "crop_length", "mask_offset", "mask_length")


def measures_rows(batch: Measured) -> pa.Table:
    """One row per face, one per photo without a face, in the order of the photos; where pixels lie is still null."""
    schema = arrow_schema("measures")
    faces_of = np.bincount(batch.faces.photo, minlength=len(batch.photos))
    photo = np.repeat(np.arange(len(batch.photos)), np.maximum(faces_of, 1))
    # Faces come in the order of their photos, so those rows that have one take them in turn.
    has_face = faces_of[photo] > 0
    face = np.where(has_face, np.cumsum(has_face) - 1, -1)
    names = [column.name for column in FACE_NUMBERS]
    columns = {
        **_photo_columns(batch, photo, faces_of),
        "face_id": _taken(pa.array(face_ids(batch), pa.string()), face),
        **{name: _taken(_array(batch.faces.columns.get(name), schema.field(name)), face) for name in names},
        **{name: pa.nulls(len(photo), schema.field(name).type) for name in _PIXEL_COLUMNS},
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def faces_rows(batch: Measured) -> pa.Table:
    """One row per face: crop, mask, box, landmarks, matrix."""
    schema = arrow_schema("faces")
    faces = batch.faces
    ids = face_ids(batch)
    entries = [batch.photos[index].entry for index in faces.photo]
    columns = {
        "image_id": [entry.image_id for entry in entries],
        "identity": [entry.identity for entry in entries],
        "face_id": ids,
        "box": _lists(faces.box, 4, pa.float32()),
        "landmarks": _lists(faces.landmarks, 10, pa.float32()),
        "matrix": _lists(faces.matrix, 6, pa.float64()),
        "crop": [{"bytes": data, "path": f"{name}.jpg"} for name, data in zip(ids, faces.crops, strict=True)],
        "mask": [{"bytes": data, "path": f"{name}.png"} for name, data in zip(ids, faces.masks, strict=True)],
    }
    return pa.table(columns, schema=schema)


def embeddings_rows(faces: pa.Table, vectors: npt.NDArray[np.float16]) -> pa.Table:
    """Keys of N faces and their (N, D) unit vectors -> rows of the embeddings table."""
    keys = {name: faces.column(name) for name in ("image_id", "identity", "face_id")}
    dim = vectors.shape[1]
    return pa.table({**keys, "embedding": _lists(vectors, dim, pa.float16())}, schema=embeddings_schema(dim))


def face_ids(batch: Measured) -> list[str]:
    """image_id#k of every face, k counting from 0 within its photo."""
    ids: list[str] = []
    last, k = -1, 0
    for index in batch.faces.photo.tolist():
        k = k + 1 if index == last else 0
        last = index
        ids.append(f"{batch.photos[index].entry.image_id}#{k}")
    return ids


def _photo_columns(batch: Measured, photo: Rows, faces_of: Rows) -> dict[str, pa.Array]:
    photos = batch.photos
    decoded = [one.decoded for one in photos]
    known = np.array([one is not None for one in decoded])
    per_photo = {
        "image_id": pa.array([one.entry.image_id for one in photos], pa.string()),
        "identity": pa.array([one.entry.identity for one in photos], pa.string()),
        "split": pa.array([one.entry.split for one in photos], pa.string()),
        "error": pa.array([one.error for one in photos], pa.string()),
        "file_size": pa.array([one.entry.size for one in photos], pa.int64()),
        "mtime_ns": pa.array([one.entry.mtime_ns for one in photos], pa.int64()),
        "sha256": pa.array([one.sha256 for one in photos], pa.string()),
        "format": pa.array([one.format if one else None for one in decoded], pa.string()),
        "width": pa.array([one.width if one else None for one in decoded], pa.int32()),
        "height": pa.array([one.height if one else None for one in decoded], pa.int32()),
        "phash": pa.array(batch.phash, pa.uint64(), mask=~known),
        "phash_mirror": pa.array(batch.phash_mirror, pa.uint64(), mask=~known),
        **{
            name: pa.array([one.distortion.get(name) for one in photos], pa.float32())
            for name in ("flat_rows", "blockiness", "corruption")
        },
        "face_count": pa.array(faces_of, pa.int8()),
    }
    return {name: array.take(pa.array(photo)) for name, array in per_photo.items()}


def _taken(values: pa.Array, face: Rows) -> pa.Array:
    """values[face], null where face is -1."""
    return values.take(pa.array(face, mask=face < 0))


def _array(values: npt.NDArray[np.generic] | None, field: pa.Field) -> pa.Array:
    """(N,) numpy -> Arrow of the column's type; a NaN is a null."""
    if values is None:
        return pa.nulls(0, field.type)
    if pa.types.is_floating(field.type):
        return pa.array(values.astype(np.float32), field.type, from_pandas=True)
    return pa.array(values.tolist() if values.dtype.kind == "U" else values, field.type)


def _lists(values: npt.NDArray[np.generic], length: int, dtype: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), dtype)
    return pa.FixedSizeListArray.from_arrays(flat, length)
