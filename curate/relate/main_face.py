"""Choice of the main face of a photo that shows several."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def most_prominent(photo: Rows, boxes: Floats, width: Floats, height: Floats) -> Flags:
    """Mark the largest central face of each photo.

    The score is the area of the box minus twice the squared distance of its centre from the centre of the photo, in
    source pixels. A row without a face (NaN) is marked only where its photo has no face.

    Args:
        photo: (N,) photo of each face, ascending.
        boxes: (N, 4) boxes x0, y0, x1, y1.
        width, height: (N,) size of the photo of each face.

    Returns:
        (N,) flags, exactly one True for each photo.
    """
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    off = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.stack([width, height], axis=1) / 2
    return highest(photo, size - 2 * (off**2).sum(axis=1))


def highest(photo: Rows, value: Floats) -> Flags:
    """Mark the row with the highest (N,) value of each photo, the first at a tie; `photo` (N,) is ascending."""
    order = np.lexsort((np.arange(len(photo)), -np.nan_to_num(value, nan=-np.inf), photo))
    first = np.ones(len(photo), bool)
    first[1:] = photo[order][1:] != photo[order][:-1]
    chosen = np.zeros(len(photo), bool)
    chosen[order[first]] = True
    return chosen
