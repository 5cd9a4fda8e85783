"""Order of linked photos, by which `groups` chooses the photo that the others of a group must match."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def best_first(eye_distance: Floats, sharpness: Floats, file_size: Rows, name: Rows) -> Rows:
    """Return the order that lists N photos of one picture from the best to the worst.

    The larger distance between the eyes comes first, in steps of 5%, because two detections of one face differ by
    less; then the sharper photo, in steps of 0.02; then the larger file; then the smaller `name`. NaN comes last.
    """
    eyes = np.floor(np.log(np.maximum(np.nan_to_num(eye_distance, nan=0.0), 1e-3)) / np.log(1.05))
    sharp = np.round(np.nan_to_num(sharpness, nan=-1.0) / 0.02)
    return np.lexsort((name, -file_size, -sharp, -eyes))
