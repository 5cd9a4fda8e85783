"""Rows of CSV files. Names of photos are text of unknown origin, and spreadsheets run cells such as `=HYPERLINK(...)`.

A text cell that begins like a formula is written with an apostrophe in front, which spreadsheets take for a sign of
text. One apostrophe more precedes text that begins with apostrophes and such a character, so that `read_rows` returns
every cell as it was.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import TextIO

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""What a formula begins with, also in the full-width characters of Chinese and Japanese input."""


class CsvWriter:
    """Writes rows into a text file that is opened with `newline=""`. Numbers are written as they are."""

    def __init__(self, file: TextIO, header: Iterable[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        # Of carriage returns, the writer leaves some unquoted.
        self._quoting_writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self.write(header)

    def write(self, cells: Iterable[object]) -> None:
        """Write one row."""
        escaped = [escape(cell) if isinstance(cell, str) else cell for cell in cells]
        quoting = any(isinstance(cell, str) and "\r" in cell for cell in escaped)
        (self._quoting_writer if quoting else self._writer).writerow(escaped)


def escape(cell: str) -> str:
    """The text of a cell as it is written."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescape(cell: str) -> str:
    """The inverse of `escape`. Text that is not escaped (typed by hand) is returned as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def read_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the last line and the cells of each row. Raises csv.Error for a cell of over 128 KiB."""
    reader = csv.reader(io.StringIO(text, newline=""))
    for cells in reader:
        yield reader.line_num, [unescape(cell) for cell in cells]
