"""Faces of photos in, the face that stands for each photo out."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def most_prominent(photo: Rows, boxes: Floats, width: Floats, height: Floats) -> Flags:
    """(N,) photo of each face, ascending; (N, 4) boxes x0, y0, x1, y1; (N,) size of its photo -> (N,) one True a photo.

    The largest central face: area less twice the squared distance from the photo's middle, all in source pixels. Rows
    without a face (NaN) stand for their photo when it has none.
    """
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    off = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.stack([width, height], axis=1) / 2
    return highest(photo, size - 2 * (off**2).sum(axis=1))


def highest(photo: Rows, value: Floats) -> Flags:
    """(N,) photo of each row, ascending, and value -> (N,) True for the highest of each photo, the first at a tie."""
    order = np.lexsort((np.arange(len(photo)), -np.nan_to_num(value, nan=-np.inf), photo))
    first = np.ones(len(photo), bool)
    first[1:] = photo[order][1:] != photo[order][:-1]
    chosen = np.zeros(len(photo), bool)
    chosen[order[first]] = True
    return chosen
