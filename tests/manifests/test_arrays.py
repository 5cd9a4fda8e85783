"""Columns as numpy arrays: 64-bit hashes as hex strings, boxes and landmarks."""

import numpy as np
import pyarrow as pa
import pytest

from manifests.arrays import box_array, hash_array, hash_column, landmark_array
from manifests.schema import BOX, LANDMARKS

HASHES = np.array([0, 1, 0x0123456789ABCDEF, 2**63, 2**64 - 1], np.uint64)


def test_hashes_are_stored_as_16_hex_digits() -> None:
    column = hash_column(HASHES, np.array([True, True, True, False, True]))
    assert column.to_pylist() == ["0" * 16, f"{1:016x}", "0123456789abcdef", None, "f" * 16]
    column.validate(full=True)


def test_hashes_round_trip() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 1000, np.uint64)
    assert np.array_equal(hash_array(hash_column(hashes)), hashes)
    assert hash_array(hash_column(hashes[:0])).shape == (0,)


def test_null_hashes_are_zero() -> None:
    valid = np.array([False, True, True, False, True])
    assert hash_array(hash_column(HASHES, valid)).tolist() == np.where(valid, HASHES, 0).tolist()


def test_slices_and_chunks_of_a_column_are_decoded() -> None:
    column = hash_column(HASHES)
    assert hash_array(column[2:4]).tolist() == HASHES[2:4].tolist()
    assert hash_array(pa.chunked_array([column[3:], column[:2]])).tolist() == HASHES[[3, 4, 0, 1]].tolist()


@pytest.mark.parametrize("text", ["0123456789ABCDEF", "xyz", "0" * 15, "0" * 15 + "g"])
def test_anything_but_16_lower_case_hex_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)hash|width|size"):
        hash_array(pa.array([text]))


def test_boxes_and_landmarks_are_float32_arrays_with_nan_for_null() -> None:
    values = np.arange(28, dtype=np.float32).reshape(2, 14)
    table = pa.table({name: pa.array([*values[:, k], None]) for k, name in enumerate((*BOX, *LANDMARKS))})
    assert np.array_equal(box_array(table)[:2], values[:, :4])
    assert np.array_equal(landmark_array(table)[:2], values[:, 4:].reshape(2, 5, 2))
    assert np.isnan(box_array(table)[2]).all()
    assert np.isnan(landmark_array(table)[2]).all()
