"""VGGFace2's CSVs: a face box and five landmarks per photo."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from curate.errors import SourceError

Floats = npt.NDArray[np.floating]

_FOLDERS = ("", "bb_landmark", "meta", "data", "data/bb_landmark", "data/meta")
_LANDMARKS = [f"P{point}{axis}" for point in range(1, 6) for axis in "XY"]
_BOX = ["X", "Y", "W", "H"]
MIN_EYE_DISTANCE = 3.0
"""Pixels between the eyes. Landmarks that are closer are not used: no crop can be aligned to them."""


class PhotoTable:
    """Numbers per photo, looked up by name ("n000002/0001_01").

    Holds sorted names and float32 (N, C): 56 bytes a row for landmarks, 32 for boxes. Of two rows of one name the
    first is used.
    """

    def __init__(self, files: Iterable[Path], columns: list[str]) -> None:
        names, values = [], []
        for path in files:
            read_names, read_values = _read(path, columns)
            names.append(read_names)
            values.append(read_values)
        self._names = np.concatenate(names) if names else np.empty(0, "S1")
        self._values = np.concatenate(values) if values else np.empty((0, len(columns)), np.float32)
        if np.any(self._names[1:] < self._names[:-1]):  # the published files are sorted already
            order = np.argsort(self._names, kind="stable")
            self._names, self._values = self._names[order], self._values[order]

    def __len__(self) -> int:
        return len(self._names)

    def rows(self, names: list[str]) -> Floats:
        """Return float64 (len(names), C), NaN where the table has no row for a photo."""
        rows = np.full((len(names), self._values.shape[1]), np.nan)
        if len(self) and names:
            keys = np.array([name.encode() for name in names])
            index = np.minimum(np.searchsorted(self._names, keys), len(self) - 1)
            present = self._names[index] == keys
            rows[present] = self._values[index[present]]
        return rows


def landmark_table(root: Path) -> PhotoTable:
    """Read five points per photo: (N, 10), x0, y0, ... in source pixels, the eye on the image's left first."""
    return PhotoTable(table_files(root, "loose_landmark"), _LANDMARKS)


def box_table(root: Path) -> PhotoTable:
    """Read a loose face box per photo: (N, 4), left, top, width, height in source pixels."""
    return PhotoTable(table_files(root, "loose_bb"), _BOX)


def table_files(root: Path, stem: str) -> list[Path]:
    """Find STEM_train.csv and STEM_test.csv in ROOT or its folders bb_landmark, meta and data."""
    names = [f"{stem}_{split}.csv" for split in ("train", "test")]
    files = []
    for name in names:
        files += [path for folder in _FOLDERS if (path := root / folder / name).is_file()][:1]
    return files


def plausible(points: Floats, boxes: Floats) -> npt.NDArray[np.bool_]:
    """Find the landmarks that a crop can be aligned to: bool (N,).

    Plausible are points that are finite; inside the box enlarged by half about its centre, where there is a box; eyes
    at least MIN_EYE_DISTANCE apart and less than 60 degrees from level; mouth below the eyes, its corners not crossed
    by more than a quarter of the face's height (in a profile they nearly coincide).

    Args:
        points: (N, 10) x0, y0, ..., NaN where missing.
        boxes: (N, 4) x0, y0, x1, y1, NaN where missing.
    """
    finite = np.all(np.isfinite(points), axis=1)
    five = np.where(finite[:, None], points, 0).reshape(-1, 5, 2)
    eyes = five[:, 1] - five[:, 0]
    mouth = five[:, 4] - five[:, 3]
    down = five[:, 3:].mean(axis=1) - five[:, :2].mean(axis=1)
    level = (np.abs(eyes[:, 1]) < np.sqrt(3) * eyes[:, 0]) & (np.hypot(eyes[:, 0], eyes[:, 1]) > MIN_EYE_DISTANCE)
    upright = (down[:, 1] > 0) & (mouth[:, 0] > -0.25 * np.hypot(down[:, 0], down[:, 1]))
    boxed = np.all(np.isfinite(boxes), axis=1)
    box = np.where(boxed[:, None], boxes, 0).reshape(-1, 2, 2)
    reach = 0.75 * (box[:, 1] - box[:, 0])
    inside = (np.abs(five - box.mean(axis=1)[:, None]) <= reach[:, None]).all(axis=(1, 2))
    usable: npt.NDArray[np.bool_] = finite & level & upright & (inside | ~boxed)
    return usable


def _read(path: Path, columns: list[str]) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.float32]]:
    types = {"NAME_ID": pa.string()} | dict.fromkeys(columns, pa.float32())
    convert = pa.csv.ConvertOptions(column_types=types, include_columns=["NAME_ID", *columns])
    try:
        table = pa.csv.read_csv(path, convert_options=convert)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        detail = str(error).splitlines()[0]
        raise SourceError(
            f"{path} cannot be read as NAME_ID,{','.join(columns)} ({detail}): fetch it again, or remove it so that "
            f"faces are detected instead"
        ) from error
    values = np.stack([_as_floats(table.column(column)) for column in columns], axis=1)
    return _as_bytes(table.column("NAME_ID")), values


def _as_floats(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """Convert a float column to numpy, NaN for missing values. Arrow's own conversions would import pandas."""
    parts = [np.empty(0, np.float32)]
    for chunk in column.chunks:
        valid, content = chunk.buffers()
        rows = slice(chunk.offset, chunk.offset + len(chunk))
        values = np.frombuffer(content, np.float32)[rows]
        if valid is not None:
            present = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[rows]
            values = np.where(present == 1, values, np.float32(np.nan))
        parts.append(values)
    return np.concatenate(parts)


def _as_bytes(names: pa.ChunkedArray) -> npt.NDArray[np.bytes_]:
    """Convert a string column to an array of fixed width, without one Python object per row."""
    width = max(pc.max(pc.binary_length(names)).as_py() or 1, 1)
    padded = pa.concat_arrays(pc.ascii_rpad(names, width=width, padding="\0").chunks or [pa.array([], pa.string())])
    content = padded.buffers()[2]
    if content is None or not len(padded):
        return np.empty(0, f"S{width}")
    return np.frombuffer(content, f"S{width}", count=len(padded))
