"""One Parquet file of a dataset, opened: its columns, row groups and footer, compared with their checksums."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.checksums import BLOCKS, DIGEST, CheckedFile, ChecksumError, NoChecksumError
from manifests.errors import DamagedError, DatasetError
from manifests.input import readable
from manifests.layout import MANIFEST, RELATIONS, check_version
from manifests.locations import ObjectPath, as_path

VERSION = "swapset.schema_version"
_INTERNAL = {b"ARROW:schema", BLOCKS.encode(), DIGEST.encode()}


class TableFile:
    """A table of a dataset. Keeps the file open; safe in threads, of which one reads at a time.

    Attributes:
        path: the file.
        metadata: text of the footer (`swapset.fingerprint`, ...).
        digest: SHA-256 that identifies the contents, 64 hex digits.

    Every method raises DatasetError: the file is missing, cannot be read, is damaged, or has an unknown schema version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path(path)
        self._lock = threading.Lock()
        with self._errors():
            file = self._open()
            self.digest = file.digest
            # Not the schema's metadata, which lacks what was added after the rows (`write_table(final_metadata=...)`).
            texts = file.metadata.metadata or {}
            self.metadata = {key.decode(): value.decode() for key, value in texts.items() if key not in _INTERNAL}
            if VERSION in self.metadata:  # the results of an evaluation have none
                check_version(self.metadata[VERSION], self.path)
            self._file = file

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._file.metadata.schema.to_arrow_schema().names)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._file.metadata.num_rows)

    @property
    def row_groups(self) -> int:
        """Number of row groups."""
        return int(self._file.metadata.num_row_groups)

    def rows_of(self, group: int) -> int:
        """Number of rows of a row group."""
        return int(self._file.metadata.row_group(group).num_rows)

    def read(self, columns: Sequence[str] | None = None, group: int | None = None) -> pa.Table:
        """Read `columns` (None: all), in this order, of all rows or of a row group."""
        names = self.columns if columns is None else list(columns)
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            raise DatasetError(f"{self.path} has no column {unknown[0]!r}; it has: {', '.join(self.columns)}")
        if group is not None and not 0 <= group < self.row_groups:
            raise DatasetError(
                f"{self.path} has {self.row_groups} row groups and none of bucket {group}: remove it and run "
                f"`curate {command_of(self.path)}` again"
            )
        with self._lock, self._errors():
            table = self._parquet.read(names) if group is None else self._parquet.read_row_group(group, names)
        metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key not in _INTERNAL}
        return table.select(names).replace_schema_metadata(metadata)

    def check(self) -> None:
        """Compare the whole file with its checksums."""
        with self._lock, self._errors():
            self._file.check()

    @cached_property
    def _parquet(self) -> pq.ParquetFile:
        # Not when the file is opened: for the footer alone, the rows are not read.
        remote = isinstance(self.path, ObjectPath)  # neighbouring columns are then read in one request
        return pq.ParquetFile(self._file.source(), metadata=self._file.metadata, pre_buffer=remote)

    def _open(self) -> CheckedFile:
        try:
            return CheckedFile(self.path)
        except NoChecksumError as error:
            with suppress(pa.ArrowException, OSError):
                texts = pq.read_metadata(self.path).metadata or {}
                check_version(texts.get(VERSION.encode(), b"none").decode("utf-8", "replace"), self.path)
            raise error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with readable(self.path):
                yield
        except ChecksumError as error:
            raise DamagedError(
                f"{self.path} is damaged ({error}): remove it and run `curate {command_of(self.path)}` again"
            ) from error
        except DatasetError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise DatasetError(missing(self.path)) from error
            raise


def footer(path: str | os.PathLike[str]) -> dict[str, str] | None:
    """Return the text metadata of a table's footer (`swapset.fingerprint`, ...); None without such a file.

    Raises DatasetError if the file cannot be read, is damaged, or has an unknown schema version.
    """
    return TableFile(path).metadata if as_path(path).exists() else None


def missing(path: Path) -> str:
    """Describe a missing table and name the command that writes it."""
    return f"{path} is missing: run `curate {command_of(path)}` on this dataset"


def command_of(path: Path) -> str:
    """Name the command that writes a table of a dataset."""
    return {MANIFEST: "decide", RELATIONS: "relate", "plan.parquet": "plan"}.get(path.name, "measure")
