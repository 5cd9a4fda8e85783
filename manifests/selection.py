"""A selection: a file that lists photos of a dataset, for training on them or exporting them.

    image_id,identity,rank,...          the selection.csv of `curate select`; only the column image_id is read
    anna/0042.jpg,anna,1,...

Or a text file (.txt) with one image_id a line, as `curate export list` writes it. Order and repetition have no effect.
"""

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from manifests.csv_rows import read_rows
from manifests.errors import DatasetError
from manifests.input import readable

IMAGE_ID = "image_id"
"""Column of a CSV file that is read."""

_MAX_SHOWN = 3


@dataclass(frozen=True)
class Selection:
    """Selected photos.

    Attributes:
        path: of the file, for messages.
        image_ids: of the photos, sorted, each once.
    """

    path: Path
    image_ids: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Hash of the selected photos, 64 hex digits: equal for files that list the same photos."""
        return hashlib.sha256("\0".join(self.image_ids).encode("utf-8", "surrogateescape")).hexdigest()

    def rows_of(self, kept: pa.Table) -> pa.Table:
        """Return the selected rows of `kept`, the rows of a manifest that training uses, in their order.

        Raises DatasetError where a selected photo is not among them: a selection is never used in part.
        """
        selected = pa.array(self.image_ids, pa.string())
        absent = selected.filter(pc.invert(pc.is_in(selected, kept[IMAGE_ID].combine_chunks())))
        if len(absent):
            shown = ", ".join(map(repr, absent[:_MAX_SHOWN].to_pylist()))
            raise DatasetError(
                f"{self.path}: {len(absent):,} of {len(self.image_ids):,} selected photos are not kept photos with a "
                f"face of this dataset ({shown}{', ...' if len(absent) > _MAX_SHOWN else ''}): run `curate select` "
                "again, or remove these lines"
            )
        return kept.filter(pc.is_in(kept[IMAGE_ID], selected))


def read_selection(path: str | os.PathLike[str]) -> Selection:
    """Read a selection. Raises DatasetError: the file is missing, of another kind, damaged, or lists no photo."""
    path = Path(path)
    if path.suffix not in (".csv", ".txt"):
        raise DatasetError(
            f"{path}: a selection is a .csv file with the column {IMAGE_ID}, or a .txt file with one {IMAGE_ID} a line"
        )
    with readable(path):
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DatasetError(f"{path} is missing: write it with `curate select`, or list photos by hand") from error
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    image_ids = _of_csv(text, path) if path.suffix == ".csv" else _of_lines(text)
    if not image_ids:
        raise DatasetError(f"{path} lists no photo")
    return Selection(path, tuple(sorted(image_ids)))


def _of_lines(text: str) -> set[str]:
    return {line.removesuffix("\r") for line in text.split("\n") if line.strip()}


def _of_csv(text: str, path: Path) -> set[str]:
    try:
        (_, header), *rows = [*read_rows(text)] or [(1, [])]
    except csv.Error as error:
        raise DatasetError(f"{path}: not a CSV file ({error})") from error
    if IMAGE_ID not in header:
        raise DatasetError(f"{path}, line 1: no column {IMAGE_ID!r} in the header {','.join(header)!r}")
    column = header.index(IMAGE_ID)
    image_ids = set()
    for line, cells in rows:
        if any(cells):
            if len(cells) <= column or not cells[column]:
                raise DatasetError(f"{path}, line {line}: no {IMAGE_ID}; copy it from the manifest")
            image_ids.add(cells[column])
    return image_ids
