"""The frozen listing of a source: a table of a dataset with a row per photo and a row group per bucket.

`curate plan` writes it, so that a worker reads the rows of its shards alone, where it would otherwise list millions of
files. The sizes and times in it are those of the moment when it was written.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.errors import SourceError
from curate.sources import Entry, Source
from curate.sources.layouts.layout import Layout
from curate.sources.stores import open_store
from manifests.layout import bucket_of
from manifests.locations import as_path
from manifests.schema import SCHEMA_VERSION
from manifests.table_file import VERSION, TableFile

if TYPE_CHECKING:
    from curate.sources.stores.store import Store

FILE_NAME = "plan.parquet"

_COLUMNS = {
    "key": pa.string(),  # of the layout: an identity, or a part of the photos without one
    "image_id": pa.string(),
    "identity": pa.string(),
    "size": pa.int64(),
    "mtime_ns": pa.int64(),
    "path": pa.string(),  # the location, of stores that locate photos by path
    "offset": pa.int64(),  # the location, of stores that locate photos by number
    "split": pa.string(),
    "landmarks": pa.list_(pa.float64()),
    "box": pa.list_(pa.float64()),
    "refusal": pa.string(),
}
SCHEMA = pa.schema(_COLUMNS.items(), metadata={VERSION: str(SCHEMA_VERSION)})


class FrozenLayout(Layout):
    """The photos of a frozen listing; reads one row group at a time."""

    summary = expected = "the listing of `curate plan`"

    def __init__(self, store: "Store", listing: TableFile) -> None:
        super().__init__(store)
        self._listing = listing
        self._bucket = -1
        self._entries: dict[str, list[Entry]] = {}

    def identities(self) -> list[str]:
        return list(dict.fromkeys(self._listing.read(["key"])["key"].to_pylist()))

    def entries(self, identity: str) -> list[Entry]:
        bucket = bucket_of(identity, self._listing.row_groups)
        if bucket != self._bucket:
            self._bucket, self._entries = bucket, {}
            for key, entry in _read(self._listing, bucket):
                self._entries.setdefault(key, []).append(entry)
        return list(self._entries.get(identity, []))


class RecordingLayout(Layout):
    """A layout that keeps what it lists until `take` is called."""

    summary = expected = "another layout"

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout.store)
        self._layout = layout
        self._rows: list[tuple[str, Entry]] = []

    def identities(self) -> list[str]:
        return self._layout.identities()

    def entries(self, identity: str) -> list[Entry]:
        entries = self._layout.entries(identity)
        self._rows += [(identity, entry) for entry in entries]
        return entries

    def take(self) -> pa.Table:
        """Return what was listed since the last call, rows of SCHEMA."""
        rows, self._rows = self._rows, []
        columns = {name: [getattr(entry, name) for _, entry in rows] for name in _COLUMNS if hasattr(Entry, name)}
        columns["key"] = [key for key, _ in rows]
        columns["path"] = [entry.location if isinstance(entry.location, str) else None for _, entry in rows]
        columns["offset"] = [None if isinstance(entry.location, str) else entry.location for _, entry in rows]
        return pa.table([pa.array(columns[name], dtype) for name, dtype in _COLUMNS.items()], schema=SCHEMA)


def open_frozen(root: Path, listing: Path) -> Source:
    """Open the photos at `root` as `listing` lists them. Raises SourceError, DatasetError."""
    try:
        store = open_store(as_path(root))
        return Source(store, FrozenLayout(store, TableFile(listing)))
    except OSError as error:
        raise SourceError(f"{root} cannot be listed ({error.strerror}): check its permissions") from error


def _read(listing: TableFile, bucket: int) -> Iterable[tuple[str, Entry]]:
    table = listing.read(group=bucket)
    for row in table.to_pylist():
        location = row["offset"] if row["path"] is None else row["path"]
        landmarks, box = (None if row[name] is None else tuple(row[name]) for name in ("landmarks", "box"))
        yield (
            row["key"],
            Entry(
                image_id=row["image_id"],
                identity=row["identity"],
                size=row["size"],
                mtime_ns=row["mtime_ns"],
                location=location,
                split=row["split"],
                landmarks=landmarks,
                box=box,
                refusal=row["refusal"],
            ),
        )
