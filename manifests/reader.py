"""A dataset directory -> its tables, column by column, and its pixels."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.errors import DatasetError
from manifests.layout import MANIFEST, POLICY_HASH, RELATIONS, DatasetInfo, check_version, read_info, shard_name
from manifests.pixels import PixelReader, decode_crop, decode_mask

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "DatasetInfo", "PixelReader", "decode_crop", "decode_mask", "footer", "read_table"]

Columns = Sequence[str] | None


def footer(path: str | os.PathLike[str]) -> dict[str, str] | None:
    """Parquet file -> the text metadata in its footer (`swapset.fingerprint` and so on); None if there is no such file.

    Raises DatasetError if the file is damaged.
    """
    path = Path(path)
    if not path.exists():
        return None
    metadata = _opened(path).schema_arrow.metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items()}


def read_table(path: str | os.PathLike[str], columns: Columns = None, group: int | None = None) -> pa.Table:
    """One of our Parquet files, or row group `group` of it -> a table of `columns`, in the order asked for.

    Raises DatasetError: missing, damaged, of an unknown schema version, or without one of `columns`.
    """
    path = Path(path)
    file = _opened(path)
    schema = file.schema_arrow
    check_version((schema.metadata or {}).get(b"swapset.schema_version", b"none").decode(), path)
    names = schema.names if columns is None else list(columns)
    unknown = [name for name in names if name not in schema.names]
    if unknown:
        raise DatasetError(f"{path} has no column {unknown[0]!r}; it has: {', '.join(schema.names)}")
    if group is not None and not 0 <= group < file.num_row_groups:
        raise DatasetError(f"{path} has {file.num_row_groups} row groups, not bucket {group}: make it again")
    try:
        table = file.read(names) if group is None else file.read_row_group(group, names)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from error
    return table.select(names)


class Dataset:
    """A curated dataset: what one `curate clean --out` directory holds. Make it with `Dataset.open`.

    Tables of a family (`measures`, `faces`, `embeddings/<embedder_id>`) come bucket by bucket; `relations` and
    `manifest` are one file each, with a row group per bucket. Rows are sorted by identity, image_id and face.
    Every method raises DatasetError for a missing or damaged file, naming it and the command that makes it.
    """

    def __init__(self, path: Path, info: DatasetInfo) -> None:
        self.path = path
        self.info = info

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Open the directory `path`. Raises DatasetError: not a dataset, or of an unknown schema version."""
        return cls(Path(path), read_info(path))

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
        """The directories that a merged dataset refers to, by name; empty for any other."""
        return {name: Path(os.path.normpath(self.path / where)) for name, where in self.info.parts.items()}

    def shard_path(self, family: str, bucket: int) -> Path:
        """Family and bucket -> the shard's path, whether or not it exists."""
        self._must_not_be_merged()
        if not 0 <= bucket < self.buckets:
            raise DatasetError(f"{self.path} has buckets 0 to {self.buckets - 1}, not {bucket}")
        return self.path / family / f"{shard_name(bucket, self.buckets)}.parquet"

    def measures(self, bucket: int, columns: Columns = None) -> pa.Table:
        """One row per face and one per photo without a face (`schema.MEASURES`)."""
        return read_table(self.shard_path("measures", bucket), columns)

    def faces(self, bucket: int, columns: Columns = None) -> pa.Table:
        """One row per face with its pixels (`schema.FACES`)."""
        return read_table(self.shard_path("faces", bucket), columns)

    def embeddings(self, embedder_id: str, bucket: int) -> tuple[list[str], npt.NDArray[np.float16]]:
        """Embedder and bucket -> face_ids (N) and unit vectors float16 (N, D), in the order of the faces.

        Raises DatasetError if the dataset has none of that embedder: numbers of two embedders do not compare.
        """
        path = self.shard_path(f"embeddings/{embedder_id}", bucket)
        if not path.parent.is_dir():
            there = ", ".join(self.embedder_ids()) or "none"
            raise DatasetError(
                f"{self.path} has no embeddings of embedder {embedder_id}; there: {there}. Run `curate measure` with "
                "that embedder, or use one that is there"
            )
        table = read_table(path, ["face_id", "embedding"])
        dim = table.schema.field("embedding").type.list_size
        vectors = table["embedding"].combine_chunks()
        flat = vectors.flatten().to_numpy(zero_copy_only=False) if len(vectors) else np.empty(0, np.float16)
        return table["face_id"].to_pylist(), np.asarray(flat, np.float16).reshape(-1, dim)

    def embedder_ids(self) -> list[str]:
        """Embedders whose vectors the dataset holds, sorted."""
        folder = self.path / "embeddings"
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []

    def relations(self, bucket: int | None = None, columns: Columns = None) -> pa.Table:
        """How faces lie to identities (`schema.RELATIONS`), row for row as the measures; all buckets, or one."""
        self._must_not_be_merged()
        return read_table(self.path / RELATIONS, columns, bucket)

    def manifest(self, columns: Columns = None, verdict: Literal["keep", "drop"] | None = None) -> pa.Table:
        """One row per photo (`schema.MANIFEST`), of all photos or only of those kept or dropped."""
        path = self.path / MANIFEST
        if verdict is None:
            return read_table(path, columns)
        names = None if columns is None else list(columns)
        table = read_table(path, names if names is None or "verdict" in names else [*names, "verdict"])
        rows = table.filter(pc.equal(table["verdict"].cast(pa.string()), verdict))
        return rows if names is None else rows.select(names)

    def to_pandas(self, columns: Columns = None, verdict: Literal["keep", "drop"] | None = None) -> "pd.DataFrame":
        """The manifest as a pandas DataFrame."""
        frame: pd.DataFrame = self.manifest(columns, verdict).to_pandas()
        return frame

    def policy_hash(self) -> str | None:
        """Hash of the policy that the manifest was decided by; None if it does not say."""
        told = footer(self.path / MANIFEST)
        if told is None:
            raise DatasetError(_missing(self.path / MANIFEST))
        return told.get(POLICY_HASH)

    def _must_not_be_merged(self) -> None:
        if self.parts:
            parts = ", ".join(map(str, self.parts.values()))
            raise DatasetError(f"{self.path} is merged and has a manifest only: open one of its parts: {parts}")


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DatasetError(_missing(path)) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from error


def _missing(path: Path) -> str:
    makes = {MANIFEST: "decide", RELATIONS: "relate"}.get(path.name, "measure")
    return f"{path} is missing: run `curate {makes}` on this dataset"


def _damaged(path: Path, error: Exception) -> DatasetError:
    makes = {MANIFEST: "decide", RELATIONS: "relate"}.get(path.name, "measure")
    return DatasetError(f"{path} is damaged ({error}): remove it and run `curate {makes}` again")
