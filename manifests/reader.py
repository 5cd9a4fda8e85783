"""Read a dataset directory: its tables, column by column, its embeddings and its pixels."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import DatasetError
from manifests.layout import (
    MANIFEST,
    POLICY_HASH,
    RELATIONS,
    DatasetInfo,
    part_paths,
    read_info,
    shard_file,
    shard_name,
    shard_roots,
)
from manifests.locations import as_path
from manifests.pixels import PixelReader, decode_crop, decode_mask
from manifests.table_file import TableFile

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "DatasetInfo", "PixelReader", "decode_crop", "decode_mask", "read_table"]

Columns = Sequence[str] | None


def read_table(path: str | os.PathLike[str], columns: Columns = None, group: int | None = None) -> pa.Table:
    """Read `columns`, in this order, of a dataset's Parquet file or of its row group `group`.

    Raises DatasetError: the file is missing, damaged, of an unknown schema version, or lacks one of `columns`.
    """
    return TableFile(path).read(columns, group)


class Dataset:
    """A curated dataset: the contents of a `curate clean --out` directory. Create it with `Dataset.open`.

    Tables of a family (`measures`, `faces`, `embeddings/<embedder_id>`) are read bucket by bucket; `relations` and
    `manifest` are one file each, with a row group per bucket. Rows are sorted by identity, image_id and face.
    Every method raises DatasetError for a missing or damaged file, with the command that writes it.
    """

    def __init__(self, path: Path, info: DatasetInfo) -> None:
        self.path = path
        self.info = info

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Open the directory `path`. Raises DatasetError: not a dataset, or of an unknown schema version."""
        return cls(as_path(path), read_info(path))

    @property
    def buckets(self) -> int:
        """Number of buckets, fixed when the dataset was created."""
        return self.info.buckets

    @cached_property
    def pixels(self) -> PixelReader:
        """Reader of crops and masks: `dataset.pixels.crop(row)`."""
        return PixelReader(self.path)

    @property
    def parts(self) -> dict[str, Path]:
        """Directories of the parts of a merged dataset, by name; empty for any other dataset."""
        return part_paths(self.path, self.info)

    def shard_path(self, family: str, bucket: int) -> Path:
        """Return the path of a family's shard, whether or not it exists."""
        self._require_unmerged()
        if not 0 <= bucket < self.buckets:
            raise DatasetError(f"{self.path} has buckets 0 to {self.buckets - 1}, not {bucket}")
        return self.path / family / f"{shard_name(bucket, self.buckets)}.parquet"

    def measures(self, bucket: int, columns: Columns = None) -> pa.Table:
        """Read the measurements of a bucket: a row per face and per photo without a face (`schema.MEASURES`)."""
        return read_table(self.shard_path("measures", bucket), columns)

    def faces(self, bucket: int, columns: Columns = None) -> pa.Table:
        """Read the crops and masks of a bucket: a row per face (`schema.FACES`)."""
        return read_table(self.shard_path("faces", bucket), columns)

    def relations(self, bucket: int | None = None, columns: Columns = None) -> pa.Table:
        """Read `schema.RELATIONS` of all buckets or of one, row for row as the measures."""
        return self.relations_file().read(columns, bucket)

    def relations_file(self) -> TableFile:
        """Open `relations.parquet`: its footer grows with the buckets, so that opening it for each is quadratic."""
        self._require_unmerged()
        return TableFile(self.path / RELATIONS)

    def manifest(self, columns: Columns = None, keep: bool | None = None) -> pa.Table:
        """Read the manifest, a row per photo (`schema.MANIFEST`): all photos, or those with this value of `keep`."""
        path = self.path / MANIFEST
        if keep is None:
            return read_table(path, columns)
        names = None if columns is None else list(columns)
        table = read_table(path, names if names is None or "keep" in names else [*names, "keep"])
        rows = table.filter(pc.equal(table["keep"], keep))
        return rows if names is None else rows.select(names)

    def to_pandas(self, columns: Columns = None, keep: bool | None = None) -> "pd.DataFrame":
        """Read the manifest as a pandas DataFrame; integer columns that may be null are of type Int64 or Int32."""
        frame: pd.DataFrame = self.manifest(columns, keep).to_pandas()
        return frame

    def policy_hash(self) -> str | None:
        """Return the hash of the policy that decided the manifest; None if its footer records none."""
        return TableFile(self.path / MANIFEST).metadata.get(POLICY_HASH)

    def embedder_ids(self) -> list[str]:
        """Return the embedders whose embeddings the dataset holds, sorted; of a merged one, those of every part."""
        parts = [set(Dataset.open(part).embedder_ids()) for part in self.parts.values()]
        if parts:
            return sorted(set.intersection(*parts))
        return sorted(entry.name for entry in (self.path / "embeddings").glob("*") if entry.is_dir())

    def embeddings(self, embedder_id: str, bucket: int) -> tuple[list[str], npt.NDArray[np.float16]]:
        """Read the embeddings of a bucket.

        Returns:
            face_ids (N) and unit vectors float16 (N, D), in the order of the faces.

        Raises:
            DatasetError: the dataset has no embeddings of that embedder. Vectors of two embedders do not compare.
        """
        path = self.shard_path(f"embeddings/{embedder_id}", bucket)
        self._require_embedder(embedder_id)
        face_ids, vectors = _read_embeddings(path)
        return face_ids.to_pylist(), vectors

    def embeddings_for(
        self, rows: "pa.Table | pd.DataFrame", embedder_id: str | None = None
    ) -> npt.NDArray[np.float16]:
        """Read the embeddings of any faces, also of a merged dataset's.

        Args:
            rows: N rows of the manifest or of the measures; `face_id` and `shard` are used and must not be null.
            embedder_id: the embedder; by default the one that the dataset was created with.

        Returns:
            Unit vectors float16 (N, D) in the order of `rows`; (0, 0) without rows.

        Raises:
            DatasetError: the dataset has no embeddings of that embedder, a row has no face, or a shard is missing or
                lacks a face.
        """
        embedder_id = embedder_id or self.info.embedder_id
        self._require_embedder(embedder_id)
        face_ids, shards = _strings(rows["face_id"]), _strings(rows["shard"])
        if face_ids.null_count:
            raise DatasetError(
                f"{self.path}: {face_ids.null_count} of {len(face_ids)} rows have no face, so they have no embedding; "
                "skip such rows"
            )
        vectors: npt.NDArray[np.float16] = np.empty((len(face_ids), 0), np.float16)
        encoded = shards.dictionary_encode()
        codes = encoded.indices.to_numpy()
        order, starts = np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]
        for shard, at in zip(encoded.dictionary.to_pylist(), np.split(order, starts), strict=False):
            path, prefix = self._embeddings_path(shard, embedder_id)
            stored_ids, stored = _read_embeddings(path)
            wanted = face_ids.take(pa.array(at))
            index = pc.index_in(wanted, pc.binary_join_element_wise(prefix, stored_ids, ""))
            if index.null_count:
                absent = wanted.filter(pc.is_null(index))[0]
                raise DatasetError(f"{path} has no embedding of {absent}: remove it and run `curate measure` again")
            if not vectors.size:
                vectors = np.empty((len(face_ids), stored.shape[1]), np.float16)
            vectors[at] = stored[index.to_numpy()]
        return vectors

    @cached_property
    def _shard_roots(self) -> dict[Path, str]:
        """Directory of each dataset that holds shards -> the prefix of its face_ids in this dataset's manifest."""
        return shard_roots(self.path)

    def shard_file(self, shard: str) -> Path:
        """Return the path of a shard that the manifest names. Raises DatasetError where it is not of this dataset."""
        return shard_file(self.path, shard, self._shard_roots)

    def _embeddings_path(self, shard: str, embedder_id: str) -> tuple[Path, str]:
        """Return the file of embeddings beside a shard of faces, and the prefix of its face_ids in the manifest."""
        path = self.shard_file(shard)
        root = path.parent.parent
        return root / "embeddings" / embedder_id / path.name, self._shard_roots[root]

    def _require_embedder(self, embedder_id: str) -> None:
        present = self.embedder_ids()
        if embedder_id not in present:
            raise DatasetError(
                f"{self.path} has no embeddings of embedder {embedder_id}; present: {', '.join(present) or 'none'}. "
                "Run `curate measure` with that embedder, or use one that is present"
            )

    def _require_unmerged(self) -> None:
        if self.parts:
            parts = ", ".join(map(str, self.parts.values()))
            raise DatasetError(f"{self.path} is merged and has a manifest only: open one of its parts: {parts}")


def _read_embeddings(path: Path) -> tuple[pa.ChunkedArray, npt.NDArray[np.float16]]:
    """Read a shard of embeddings: face_ids (N,) and unit vectors float16 (N, D)."""
    table = read_table(path, ["face_id", "embedding"])
    dim = table.schema.field("embedding").type.list_size
    vectors = table["embedding"].combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False) if len(vectors) else np.empty(0, np.float16)
    return table["face_id"], np.asarray(flat, np.float16).reshape(-1, dim)


def _strings(column: "pa.ChunkedArray | pd.Series[str]") -> pa.Array:
    # pandas 3 keeps strings in Arrow memory, so that `pa.array` may return a chunked array as well.
    array = column if isinstance(column, pa.ChunkedArray) else pa.array(column, pa.string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
