"""The photos of every duplicate group in order, from their measures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.measure.framing import grid_levels
from curate.relate.bucket import COPY
from curate.relate.copy_order import Copy, best_first, flaw
from curate.relate.duplicates import DuplicateGroups
from curate.relate.row_reader import RowReader

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OrderedCopies:
    """Order of the grouped photos, one entry for each of `DuplicateGroups.rows`.

    Attributes:
        rank: (G,) place in its group, 0 for the best photo.
        flaw: G of `copy_order.FLAWS` relative to the best photo, None for it and for equal ones.
    """

    rank: Rows
    flaw: list[str | None]


def order_copies(groups: DuplicateGroups, reader: RowReader) -> OrderedCopies:
    """Order the photos of every group, reading the measures of each bucket once."""
    copies = [copy for table in reader.measures(groups.rows) for copy in _copies(table)]
    rank = np.zeros(len(copies), np.int64)
    flaws: list[str | None] = [None] * len(copies)
    by_group = np.argsort(groups.group, kind="stable")
    starts = np.flatnonzero(np.diff(groups.group[by_group], prepend=-1))
    for members in np.split(by_group, starts[1:]):
        place = {copies[member].image_id: int(member) for member in members}
        ordered = best_first([copies[member] for member in members])
        for position, copy in enumerate(ordered):
            rank[place[copy.image_id]] = position
            flaws[place[copy.image_id]] = flaw(copy, ordered[0])
    return OrderedCopies(rank, flaws)


def _copies(table: pa.Table) -> Iterator[Copy]:
    """Yield the photos of a table with the columns of `bucket.COPY`."""
    numbers = {name: table[name].to_numpy().astype(np.float64) for name in COPY if name != "edge_grid"}
    extents = np.sqrt(numbers["width"] * numbers["height"] * (1 - numbers["border"])) / numbers["eye_distance"]
    grids = table["edge_grid"].to_pylist()
    for row, image_id in enumerate(table["image_id"].to_pylist()):
        value = {name: float(column[row]) for name, column in numbers.items()}
        shrink = value["shrink"]
        yield Copy(
            image_id,
            size=(int(value["width"] * shrink), int(value["height"] * shrink)),
            eye_distance=value["eye_distance"] * shrink,
            extent=float(extents[row]),
            resolution=value["resolution"],
            border=value["border"],
            quantisation=value["quantisation"],
            jpeg_step=value["jpeg_step"] if shrink == 1 else np.nan,  # the table is of the larger photo
            edge_grid=None if grids[row] is None else grid_levels(grids[row]),
            file_size=int(value["file_size"]),
        )
