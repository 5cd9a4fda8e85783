"""VGGFace2's own CSVs: who a person is, and a face box and five landmarks for each photo."""

import csv
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
"""Pixels between the eyes under which landmarks are not believed: no crop can be aligned on less."""


class PhotoTable:
    """Numbers per photo, looked up by name ("n000002/0001_01"): sorted names and float32 (N, C), 56 bytes a row
    for landmarks and 32 for boxes. A name that comes twice keeps its first row."""

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
        """(len(names), C) float64; NaN where the table lacks a photo."""
        rows = np.full((len(names), self._values.shape[1]), np.nan)
        if len(self) and names:
            wanted = np.array([name.encode() for name in names])
            at = np.minimum(np.searchsorted(self._names, wanted), len(self) - 1)
            known = self._names[at] == wanted
            rows[known] = self._values[at[known]]
        return rows


def landmark_table(root: Path) -> PhotoTable:
    """Five points for each photo: (N, 10), x0, y0, ... in source pixels, the eye on the image's left first."""
    return PhotoTable(table_files(root, "loose_landmark"), _LANDMARKS)


def box_table(root: Path) -> PhotoTable:
    """A loose face box for each photo: (N, 4), left, top, width, height in source pixels."""
    return PhotoTable(table_files(root, "loose_bb"), _BOX)


def table_files(root: Path, stem: str) -> list[Path]:
    """STEM_train.csv and STEM_test.csv, as far as they lie in ROOT or its folder bb_landmark, meta or data."""
    names = [f"{stem}_{split}.csv" for split in ("train", "test")]
    found = []
    for name in names:
        found += [path for folder in _FOLDERS if (path := root / folder / name).is_file()][:1]
    return found


def plausible(points: Floats, boxes: Floats) -> npt.NDArray[np.bool_]:
    """Which rows of `points` (N, 10) can be aligned on, given `boxes` (N, 4) as x0, y0, x1, y1 or NaN: (N,) bool.

    All finite; inside the box enlarged by half about its centre, where there is a box; eyes at least
    MIN_EYE_DISTANCE apart and less than 60 degrees from level; mouth below the eyes and its corners not crossed by
    more than a quarter of the face's height (in a profile they nearly coincide).
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
    trusted: npt.NDArray[np.bool_] = finite & level & upright & (inside | ~boxed)
    return trusted


def read_people(root: Path) -> dict[str, dict[str, str]]:
    """identity_meta.csv as {identity: {"Name": ..., "Sample_Num": ..., "Flag": ..., "Gender": ...}}; {} without it."""
    for folder in _FOLDERS:
        path = root / folder / "identity_meta.csv"
        if not path.is_file():
            continue
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            lines = csv.reader(file, skipinitialspace=True)
            header = [column.strip() for column in next(lines, [])]
            if header[:1] != ["Class_ID"]:
                raise SourceError(f"{path}: expected the columns Class_ID, Name, Gender..., found {header[:6]}")
            people = {}
            for line in lines:
                if len(line) > len(header):  # a comma in an unquoted name
                    surplus = len(line) - len(header) + 1
                    line = [line[0], ", ".join(line[1 : 1 + surplus]), *line[1 + surplus :]]
                if line:
                    values = [value.strip() for value in line]
                    people[values[0]] = dict(zip(header[1:], values[1:], strict=False))
            return people
    return {}


def _read(path: Path, columns: list[str]) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.float32]]:
    types = {"NAME_ID": pa.string()} | dict.fromkeys(columns, pa.float32())
    convert = pa.csv.ConvertOptions(column_types=types, include_columns=["NAME_ID", *columns])
    try:
        table = pa.csv.read_csv(path, convert_options=convert)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        detail = str(error).splitlines()[0]
        raise SourceError(
            f"{path} cannot be read as NAME_ID,{','.join(columns)} ({detail}): fetch it again, or remove it to detect "
            f"faces instead"
        ) from error
    values = np.stack([_as_floats(table.column(column)) for column in columns], axis=1)
    return _as_bytes(table.column("NAME_ID")), values


def _as_floats(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """A float column with NaN for missing values. Arrow's own ways to numpy would import pandas."""
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
    """A string column as an array of fixed width, without a Python object a row."""
    width = max(pc.max(pc.binary_length(names)).as_py() or 1, 1)
    padded = pa.concat_arrays(pc.ascii_rpad(names, width=width, padding="\0").chunks or [pa.array([], pa.string())])
    content = padded.buffers()[2]
    if content is None or not len(padded):
        return np.empty(0, f"S{width}")
    return np.frombuffer(content, f"S{width}", count=len(padded))
