"""The store `parquet`: Parquet files in the form of Hugging Face datasets, with the encoded images in a column.

The column of images is a struct of `bytes` and `path`. The label is the first column that is present of `LABEL_KEYS`;
numbers of a `ClassLabel` are replaced by its names. pyarrow is imported when a file is read.
"""

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import DecodeError, SourceError
from curate.sources.entry import MAX_FILE_BYTES, extension, is_photo
from curate.sources.layouts.splits import split_name
from curate.sources.stores.archive import LABEL_KEYS, TOO_LARGE, ArchiveStore, Member, files_in, folder_name

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_BATCH_ROWS = 64
MAX_GROUP_BYTES = 1 << 30
"""Larger row groups are not read: to read one photo, its row group is decoded."""


class ParquetStore(ArchiveStore):
    """The photos of one Parquet file or of a folder of them, listed as LABEL/FILE/ROW.jpg; without labels FILE_ROW.jpg.

    To learn the sizes, all images are read once when the store is opened. The row group that was read last is kept, so
    that photos in the order of the files are decoded once.
    """

    kind = "Parquet file"
    wraps = False

    def __init__(self, root: Path) -> None:
        self._columns: list[str] = []  # column of images in each file
        self._group_starts: list[int] = []  # first row of each row group, counted through all files
        self._group_places: list[tuple[int, int]] = []  # file, row group in it
        self._last: tuple[int, pa.Array] | None = None
        self._lock = threading.Lock()
        super().__init__(root)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @classmethod
    def accepts(cls, root: Path) -> bool:
        if not root.is_file():
            return bool(files_in(root, ".parquet"))
        with root.open("rb") as file:
            return file.read(4) == _MAGIC

    def _split(self, file: int) -> str | None:
        return self._splits[file]

    @cached_property
    def _splits(self) -> list[str | None]:
        """Splits by the names that `datasets` gives its files: train-00000-of-00004.parquet, train.parquet."""
        return [split_name(path.stem.partition("-")[0]) for path in self.files]

    def _find_files(self) -> list[Path]:
        return [self.root] if self.root.is_file() else files_in(self.root, ".parquet")

    def _members(self) -> Iterator[Member]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = 0
        for number, path in enumerate(self.files):
            try:
                with pq.ParquetFile(path) as file:
                    yield from self._rows(file, number, first)
                    first += file.metadata.num_rows
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                detail = (str(error).splitlines() or ["damaged"])[0]
                raise SourceError(f"{path} cannot be read as Parquet ({detail}): fetch it again") from error

    def _rows(self, file: "pq.ParquetFile", number: int, first: int) -> Iterator[Member]:
        import pyarrow.compute as pc

        path = self.files[number]
        image, label, names = _columns(path, file.schema_arrow)
        self._columns.append(image)
        row = first
        for group in range(file.num_row_groups):
            self._group_starts.append(row)
            self._group_places.append((number, group))
            metadata = file.metadata.row_group(group)
            if metadata.total_byte_size > MAX_GROUP_BYTES:
                raise SourceError(
                    f"{path} has row groups of {metadata.total_byte_size / 1e9:.1f} GB, and a photo is read with its "
                    f"row group: write it again with smaller ones (pyarrow.parquet.write_table, row_group_size=100)"
                )
            row += metadata.num_rows
        mtime_ns = path.stat().st_mtime_ns
        width = len(str(file.metadata.num_rows))
        row = 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=[image] + [label] * (label is not None)):
            content = pc.struct_field(batch.column(image), "bytes")
            sizes = pc.binary_length(content).to_pylist()
            heads = pc.binary_slice(content, 0, 4).to_pylist()
            paths = _paths(batch.column(image))
            labels = [None] * len(sizes) if label is None else batch.column(label).to_pylist()
            for size, head, original, value in zip(sizes, heads, paths, labels, strict=True):
                name = f"{row:0{width}}{_extension(head, original)}"
                identity = _label_text(value, names)
                name = f"{path.stem}_{name}" if identity is None else f"{identity}/{path.stem}/{name}"
                refusal = "the image is not in the Parquet file" if size is None else None
                refusal = TOO_LARGE if (size or 0) > MAX_FILE_BYTES else refusal
                yield Member(name, first + row, size or 0, mtime_ns, refusal, file=number)
                row += 1

    def _extract(self, descriptor: int, location: int, size: int) -> bytes:
        group = bisect_right(self._group_starts, location) - 1
        with self._lock:
            if self._last is None or self._last[0] != group:
                self._last = None  # not two row groups in memory
                self._last = group, self._read_group(descriptor, group)
            data: bytes | None = self._last[1][location - self._group_starts[group]].as_py()
        if data is None or len(data) != size:
            raise DecodeError("cannot be read: the Parquet file is damaged")
        return data

    def _read_group(self, descriptor: int, group: int) -> "pa.Array":
        import pyarrow as pa
        import pyarrow.parquet as pq

        number, index = self._group_places[group]
        try:
            with open(descriptor, "rb", closefd=False) as file, pq.ParquetFile(file) as parquet:
                column = parquet.read_row_group(index, columns=[f"{self._columns[number]}.bytes"]).column(0)
        except (pa.ArrowException, OSError) as error:
            raise DecodeError("cannot be read: the Parquet file is damaged") from error
        return column.combine_chunks().field("bytes")


def _columns(path: Path, schema: "pa.Schema") -> tuple[str, str | None, list[str]]:
    """Return the column of images, that of labels if there is one, and the names of its numbers (may be empty)."""
    import pyarrow as pa

    images = [
        field.name for field in schema if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    if not images:
        raise SourceError(
            f"{path} has no column of images (struct<bytes, path>), but {', '.join(schema.names[:6])}: give a folder "
            f"of photos or Parquet files with images"
        )
    label = next((key for key in LABEL_KEYS if key in schema.names), None)
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        names = features[label]["names"]
    except (ValueError, KeyError, TypeError):
        names = []
    return images[0], label, names if isinstance(names, list) else []


def _paths(images: "pa.Array") -> list[str | None]:
    import pyarrow.compute as pc

    if images.type.get_field_index("path") < 0:
        return [None] * len(images)
    paths: list[str | None] = pc.struct_field(images, "path").to_pylist()
    return paths


def _extension(head: bytes | None, path: str | None) -> str:
    if isinstance(path, str) and is_photo(path):
        return extension(path)
    return {b"\x89PNG": ".png", b"RIFF": ".webp", b"GIF8": ".gif"}.get(head or b"", ".jpg")


def _label_text(value: object, names: list[str]) -> str | None:
    """The folder name of a label; None for a missing one (ClassLabel writes -1)."""
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        return None
    if names and isinstance(value, int):
        return folder_name(str(names[value])) if 0 <= value < len(names) else None
    return folder_name(str(value))
