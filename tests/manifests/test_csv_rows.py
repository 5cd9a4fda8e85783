"""Cells of CSV files are no formulas, and are read back exactly."""

import io
from itertools import product

import pytest

from manifests.csv_rows import CsvWriter, escape, read_rows

DANGEROUS = "=+-@\t\r\n＝＋－＠"


@pytest.mark.parametrize("first", DANGEROUS)
def test_no_cell_begins_like_a_formula(first: str) -> None:
    assert escape(f"{first}1+1") == f"'{first}1+1"


def test_every_cell_is_read_back() -> None:
    cells = ["".join(part) for length in range(4) for part in product(f"'a,\"{DANGEROUS}", repeat=length)]
    file = io.StringIO(newline="")
    writer = CsvWriter(file, ["cell", "number"])
    for cell in cells:
        writer.write([cell, -1])
    _, *rows = read_rows(file.getvalue())
    assert [row for _, (row, _) in rows] == cells
    assert {number for _, (_, number) in rows} == {"-1"}


def test_plain_text_is_written_as_it_is() -> None:
    assert [escape(text) for text in ("n000001/0001_01.jpg", "'quoted'", "a=b", "")] == [
        "n000001/0001_01.jpg", "'quoted'", "a=b", "",
    ]  # fmt: skip
