"""Rows of the three tables of a shard, from a measured batch."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.measure.measured import MeasuredBatch
from manifests.arrays import hash_column
from manifests.schema import FACE_NUMBERS, PHOTO_NUMBERS, arrow_schema, embeddings_schema

Indices = npt.NDArray[np.int64]

PIXEL_COLUMNS = ("shard", "crop_offset", "crop_length", "crop_crc", "mask_offset", "mask_length", "mask_crc")


def measures_rows(batch: MeasuredBatch) -> pa.Table:
    """Return MEASURES: one row per face and one per photo without a face, in the order of the photos.

    The PIXEL_COLUMNS are null until the faces file is written.
    """
    schema = arrow_schema("measures")
    face_counts = np.bincount(batch.faces.photo, minlength=len(batch.photos))
    photo = np.repeat(np.arange(len(batch.photos)), np.maximum(face_counts, 1))  # (rows,), index of the photo
    # Faces are in the order of their photos, so the rows with a face take them in turn.
    has_face = face_counts[photo] > 0
    face = np.where(has_face, np.cumsum(has_face) - 1, -1)  # (rows,), index of the face
    names = [column.name for column in FACE_NUMBERS]
    columns = {
        **_photo_columns(batch, photo, face_counts),
        "face_id": _take(pa.array(batch.face_ids(), pa.string()), face),
        **{name: _take(_array(batch.columns.get(name), schema.field(name)), face) for name in names},
        **{name: pa.nulls(len(photo), schema.field(name).type) for name in PIXEL_COLUMNS},
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def faces_rows(batch: MeasuredBatch) -> pa.Table:
    """Return FACES: one row per face with crop, mask and matrix."""
    ids = batch.face_ids()
    entries = [batch.photos[index].entry for index in batch.faces.photo]
    columns = {
        "image_id": [entry.image_id for entry in entries],
        "identity": [entry.identity for entry in entries],
        "face_id": ids,
        "matrix": _lists(batch.matrices, 6, pa.float64()),
        "crop": [{"bytes": data, "path": f"{name}.jpg"} for name, data in zip(ids, batch.crops, strict=True)],
        "mask": [{"bytes": data, "path": f"{name}.png"} for name, data in zip(ids, batch.masks, strict=True)],
    }
    return pa.table(columns, schema=arrow_schema("faces"))


def embeddings_rows(faces: pa.Table, vectors: npt.NDArray[np.float16]) -> pa.Table:
    """Return the embeddings table of N faces. `faces`: FACES rows; `vectors`: (N, D) of unit norm."""
    keys = {name: faces.column(name) for name in ("image_id", "identity", "face_id")}
    dim = vectors.shape[1]
    return pa.table({**keys, "embedding": _lists(vectors, dim, pa.float16())}, schema=embeddings_schema(dim))


def _photo_columns(batch: MeasuredBatch, photo: Indices, face_counts: Indices) -> dict[str, pa.Array]:
    schema = arrow_schema("measures")
    rows = [
        {
            "image_id": photo.entry.image_id,
            "identity": photo.entry.identity,
            "split": photo.entry.split,
            "error": photo.error,
            "file_size": photo.entry.size,
            "mtime_ns": photo.entry.mtime_ns,
            "listing_key": photo.entry.key(),
            "sha256": photo.sha256,
            "format": photo.decoded and photo.decoded.format,
            "jpeg_step": photo.decoded and photo.decoded.jpeg_step,
            "width": photo.decoded and photo.decoded.width,
            "height": photo.decoded and photo.decoded.height,
            "shrink": photo.decoded and photo.decoded.shrink,
            **{column.name: photo.columns.get(column.name) for column in PHOTO_NUMBERS},
            "face_count": count,
            "turn": turn if photo.decoded else None,
            "landmarks_rejected": rejection,
        }
        for photo, count, turn, rejection in zip(
            batch.photos, face_counts, batch.detections.turns.tolist(), batch.detections.rejections, strict=True
        )
    ]
    # from_pandas: NaN becomes null.
    columns = {
        name: pa.array([row[name] for row in rows], schema.field(name).type, from_pandas=True) for name in rows[0]
    }
    return {name: column.take(pa.array(photo)) for name, column in columns.items()}


def _take(values: pa.Array, rows: Indices) -> pa.Array:
    """Return values[rows], null where a row is -1."""
    return values.take(pa.array(rows, mask=rows < 0))


def _array(values: npt.NDArray[np.generic] | None, field: pa.Field) -> pa.Array:
    """Convert (N,) to an Arrow array of the field's type; None (no faces) to an empty array.

    NaN becomes null, and a 64-bit hash its hex digits.
    """
    if values is None:
        return pa.nulls(0, field.type)
    if values.dtype == np.uint64:
        return hash_column(values.astype(np.uint64))
    if pa.types.is_floating(field.type):
        return pa.array(values.astype(np.float32), field.type, from_pandas=True)
    return pa.array(values.tolist() if values.dtype.kind == "U" else values, field.type)


def _lists(values: npt.NDArray[np.generic], length: int, dtype: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), dtype)
    return pa.FixedSizeListArray.from_arrays(flat, length)
