"""Columns of a table as numpy arrays: boxes, landmarks and 64-bit hashes."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import BOX, LANDMARKS

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_HEX = np.stack([np.repeat(_DIGITS, 16), np.tile(_DIGITS, 16)], 1)  # (256, 2): the two digits of each byte
_NIBBLE = np.full(256, 255, np.uint8)  # value of each digit's character, 255 for any other character
_NIBBLE[_DIGITS] = np.arange(16)


def box_array(table: pa.Table) -> npt.NDArray[np.float32]:
    """Return the face boxes of N rows, float32 (N, 4): x0, y0, x1, y1 in the photo; NaN for rows without a face."""
    return _stacked(table, BOX)


def landmark_array(table: pa.Table) -> npt.NDArray[np.float32]:
    """Return the five landmarks of N rows, float32 (N, 5, 2): x, y in the photo; NaN for rows without a face."""
    return _stacked(table, LANDMARKS).reshape(-1, 5, 2)


def hash_column(hashes: npt.NDArray[np.uint64], valid: npt.NDArray[np.bool_] | None = None) -> pa.StringArray:
    """Encode 64-bit hashes (N,) as 16 hex digits each; null where `valid` (N,) is False."""
    digits = _HEX[hashes.astype(">u8").view(np.uint8)].reshape(-1)  # (16 N,)
    offsets = np.arange(0, 16 * len(hashes) + 1, 16, dtype=np.int32)
    column = pa.StringArray.from_buffers(len(hashes), pa.py_buffer(offsets), pa.py_buffer(digits))
    return column if valid is None else pc.if_else(pa.array(valid, pa.bool_()), column, None)


def hash_array(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Decode a column of 16 hex digits to 64-bit hashes (N,); 0 where the column is null.

    Raises ValueError for a value that is not 16 lower-case hex digits.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    fixed = pc.fill_null(column, "0" * 16).cast(pa.binary()).cast(pa.binary(16))
    text = np.frombuffer(fixed.buffers()[1], np.uint8, 16 * len(fixed), 16 * fixed.offset)
    nibbles = _NIBBLE[text].reshape(-1, 2)  # (8 N, 2), high nibble first
    if len(nibbles) and nibbles.max() > 15:
        raise ValueError("a hash is not 16 lower-case hex digits")
    return (nibbles[:, 0] << 4 | nibbles[:, 1]).view(">u8").astype(np.uint64)


def _stacked(table: pa.Table, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    columns = [np.asarray(table[name].to_numpy(), np.float32) for name in names]
    return np.ascontiguousarray(np.stack(columns, 1))
