"""Write a dataset's Parquet files: atomically, and with the same bytes for the same rows.

A file depends on the rows, the schema and the given metadata alone, not on time, process or path.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.checksums import BLOCKS, DIGEST, CheckedFile, checked_writer
from manifests.layout import DatasetInfo, bucket_of, shard_name, write_info
from manifests.locations import as_path
from manifests.output import OutputLock, atomic
from manifests.partials import remove_partials
from manifests.schema import arrow_schema

__all__ = [
    "DatasetInfo",
    "FacesWriter",
    "OutputLock",
    "atomic",
    "bucket_of",
    "pixel_offsets",
    "remove_partials",
    "shard_name",
    "write_info",
    "write_table",
]

_MIN_GROUP_BYTES = 8 << 20
_MAX_GROUP_BYTES = 64 << 20
_PIXELS = {"crop.bytes", "mask.bytes"}
_KEYS = ["image_id", "identity", "face_id"]

_HASHES = {"listing_key", "sha256", "phash", "phash_mirror", "face_phash"}

# Columns with few distinct values per row group. For the others a dictionary takes time and saves no space.
_REPEATED = {
    "identity", "split", "verdict", "verdict_source", "reasons.list.element", "error", "format", "width", "height",
    "face_count", "landmark_source", "nearest_identity", "identity_size", "identity_cohesion", "suggested_identity",
    "same_person_as", "person_group", "duplicate_kind", "excluded_by", "shard",
}  # fmt: skip


def write_table(
    path: str | os.PathLike[str],
    tables: pa.Table | Iterable[pa.Table],
    schema: pa.Schema,
    metadata: Mapping[str, str] | None = None,
    final_metadata: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """Write a table, or a stream of tables with a row group each (empty ones too), to `path` atomically.

    Columns are selected and cast by `schema`; its metadata and `metadata` go into the footer. `final_metadata` is
    called after the last table, for metadata that depends on the tables.
    Raises OutputError (see `atomic`), KeyError for a missing column, ValueError for a null in a never-null column.
    """
    schema = _with_metadata(schema, metadata)
    leaves = _leaves(schema)
    with (
        atomic(path) as partial,
        checked_writer(
            partial,
            schema,
            compression={leaf: _codec(leaf, dtype) for leaf, dtype in leaves.items()},
            use_dictionary=[leaf for leaf in leaves if leaf in _REPEATED],
            write_statistics=[leaf for leaf in leaves if leaf in _KEYS],
        ) as writer,
    ):
        for table in [tables] if isinstance(tables, pa.Table) else tables:
            writer.write_table(_conform(table, schema), row_group_size=max(1, table.num_rows))
        if final_metadata is not None:
            writer.add_key_value_metadata(dict(final_metadata()))


def _codec(leaf: str, dtype: pa.DataType) -> str:
    """Choose the compression of a column, for speed: noise, which does not shrink, is stored plain, the rest as LZ4.

    LZ4 takes half of zstd's time, for a file a third larger.
    """
    noise = pa.types.is_floating(dtype) or pa.types.is_binary(dtype) or leaf in _HASHES
    return "NONE" if noise else "LZ4"


class FacesWriter:
    """Writes a `faces/` shard: identities in ascending order, crops and masks plain and uncompressed.

    A row group has whole identities and at least 8 MiB of pixels, unless it is the last. An identity is split over
    several groups only where a group would exceed 64 MiB. Use it as a context manager: the file gets its name when the
    block ends without an error; `offsets` are then the offsets of the pixels (see `pixel_offsets`), and `digest`
    identifies the contents (see `manifests.checksums`).
    """

    def __init__(self, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
        self.path = as_path(path)
        self.offsets: pa.Table | None = None
        self.digest = ""
        self._schema = arrow_schema("faces", dict(metadata or {}))
        self._pending: list[pa.Table] = []
        self._bytes = 0
        self._last = ""

    def __enter__(self) -> "FacesWriter":
        with ExitStack() as stack:
            self._partial = stack.enter_context(atomic(self.path))
            stack.push(self._locate)
            self._writer = stack.enter_context(
                checked_writer(
                    self._partial,
                    self._schema,
                    compression={leaf: "NONE" if leaf in _PIXELS else "ZSTD" for leaf in _leaves(self._schema)},
                    use_dictionary=["identity"],
                    write_statistics=_KEYS,
                    # Pages end between batches only; a page of 1024 crops would take 20 MB of a reader's memory.
                    write_batch_size=32,
                )
            )
            stack.push(self._last_rows)
            # On exit, in reverse order: write the last rows, close the file, locate the pixels, rename.
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._open.__exit__(kind, error, trace)

    def add(self, rows: pa.Table | Sequence[Mapping[str, Any]]) -> None:
        """Add faces of one identity; another call may add more of the same identity.

        Args:
            rows: a table with the columns of `FACES`, or mappings of them with `crop` and `mask` as
                `{"bytes", "path"}` or as bytes.

        Raises:
            ValueError: identities do not ascend, or a value is missing.
        """
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist([_row(row) for row in rows], self._schema)
        if table.num_rows == 0:
            return
        table = _conform(table, self._schema)
        identities = pc.unique(table["identity"]).to_pylist()
        if len(identities) != 1 or identities[0] < self._last:
            raise ValueError(
                f"{self.path}: add one identity at a time, ascending; got {identities} after {self._last!r}"
            )
        if any(pc.struct_field(table[name], "bytes").null_count for name in ("crop", "mask")):
            raise ValueError(f"{self.path}: a face of {identities[0]} has no crop or no mask")
        if identities[0] != self._last and self._bytes >= _MIN_GROUP_BYTES:
            self._flush()
        self._last = identities[0]
        for piece, size in _pieces(table):
            if self._bytes + size > _MAX_GROUP_BYTES:
                self._flush()
            self._pending.append(piece)
            self._bytes += size

    def _flush(self) -> None:
        if self._pending:
            group = pa.concat_tables(self._pending)
            self._writer.write_table(group, row_group_size=group.num_rows)
        self._pending, self._bytes = [], 0

    def _last_rows(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()

    def _locate(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.offsets = pixel_offsets(self._partial, f"{self.path.parent.name}/{self.path.name}")
            self.digest = CheckedFile(self._partial).digest


def pixel_offsets(path: str | os.PathLike[str], shard: str | None = None) -> pa.Table:
    """Locate the crops and masks of a finished `faces/` shard, and compute their checksums.

    In a PLAIN page each value is a 4-byte little-endian length and the bytes, and between values there are only page
    headers (Parquet format, "Encodings"). So the next value is at the cursor, or else the first match after it.

    Args:
        path: the shard.
        shard: value of the column `shard`; by default the last folder and the name of `path`.

    Returns:
        A row per face, in the order of the file: face_id, and the columns of the schema from `shard` on.

    Raises:
        ValueError: a value that pyarrow reads is not in the file as it is.
    """
    path = Path(path)
    locations: dict[str, list[int]] = {
        f"{name}_{number}": [] for name in ("crop", "mask") for number in ("offset", "length", "crc")
    }
    faces: list[str] = []
    with open(path, "rb") as file:
        parquet = pq.ParquetFile(path)
        for index in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(index)
            chunks = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
            rows = parquet.read_row_group(index, columns=["face_id", "crop", "mask"])
            faces += rows["face_id"].to_pylist()
            for name in ("crop", "mask"):
                begin = chunks[f"{name}.bytes"].data_page_offset
                file.seek(begin)
                data = file.read(chunks[f"{name}.bytes"].total_compressed_size)
                cursor = 0
                for value in pc.struct_field(rows[name], "bytes"):
                    buffer = value.as_buffer()
                    cursor = _find(data, buffer, cursor, path)
                    locations[f"{name}_offset"].append(begin + cursor)
                    locations[f"{name}_length"].append(buffer.size)
                    locations[f"{name}_crc"].append(zlib.crc32(buffer))
                    cursor += buffer.size
    shard = shard or f"{path.parent.name}/{path.name}"
    columns = {
        name: pa.array(values, pa.int32() if "length" in name else pa.int64()) for name, values in locations.items()
    }
    return pa.table(
        {"face_id": pa.array(faces, pa.string()), "shard": pa.array([shard] * len(faces), pa.string())} | columns
    )


def _find(data: bytes, value: pa.Buffer, cursor: int, path: Path) -> int:
    """Return the offset in `data` of the first `value` that its length precedes, at or after `cursor`."""
    encoded = struct.pack("<I", value.size) + value.to_pybytes()
    start = cursor if data.startswith(encoded, cursor) else data.find(encoded, cursor)
    if start < 0:
        raise ValueError(f"{path}: a value of {value.size} bytes is not stored plain in its column chunk")
    return start + 4


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap crop and mask given as bytes in the Hugging Face struct."""
    pixels = {name: row[name] for name in ("crop", "mask")}
    return {**row, **{k: {"bytes": v, "path": None} if isinstance(v, bytes) else v for k, v in pixels.items()}}


def _pieces(table: pa.Table) -> Iterator[tuple[pa.Table, int]]:
    """Split into tables of at most 64 MiB of pixels (or one row); yield them with their sizes in bytes."""
    crops, masks = (pc.binary_length(pc.struct_field(table[name], "bytes")) for name in ("crop", "mask"))
    sizes = pc.add(crops, masks).to_numpy().astype(np.int64)
    start, size = 0, 0
    for row, row_size in enumerate(sizes.tolist()):
        if size and size + row_size > _MAX_GROUP_BYTES:
            yield table.slice(start, row - start), size
            start, size = row, 0
        size += row_size
    yield table.slice(start), size


def _with_metadata(schema: pa.Schema, metadata: Mapping[str, str] | None) -> pa.Schema:
    texts = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()} | dict(metadata or {})
    # A schema that was read from a file may hold the checksums of that file.
    return schema.with_metadata({key: text for key, text in texts.items() if key not in (BLOCKS, DIGEST)})


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table if table.schema.equals(schema) else table.select(schema.names).cast(schema)


def _leaves(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return Parquet column path -> type, for the nested types of the schemas."""
    leaves: dict[str, pa.DataType] = {}
    for column in schema:
        if pa.types.is_struct(column.type):
            leaves |= {f"{column.name}.{inner.name}": inner.type for inner in column.type}
        elif pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            leaves[f"{column.name}.list.element"] = column.type.value_type
        else:
            leaves[column.name] = column.type
    return leaves
