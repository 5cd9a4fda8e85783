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
    names = [name for name in COPY if name != "edge_grid"]
    eyes, shrink, width, height, border, resolution, quantisation, step, size = (
        table[name].to_numpy().astype(np.float64) for name in names
    )
    extent = np.sqrt(width * height * (1 - border)) / eyes
    grids = table["edge_grid"].to_pylist()
    for row, image_id in enumerate(table["image_id"].to_pylist()):
        yield Copy(
            image_id,
            size=(int(width[row] * shrink[row]), int(height[row] * shrink[row])),
            eye_distance=float(eyes[row] * shrink[row]),
            extent=float(extent[row]),
            resolution=float(resolution[row]),
            border=float(border[row]),
            quantisation=float(quantisation[row]),
            jpeg_step=float(step[row]) if shrink[row] == 1 else np.nan,  # the table is of the larger photo
            edge_grid=None if grids[row] is None else grid_levels(grids[row]),
            file_size=int(size[row]),
        )
