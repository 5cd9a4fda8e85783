"""Sharpness scores of a whole collection in, the score below which one of its faces is blurred out."""

import numpy as np
import numpy.typing as npt

MOST_SPREAD = 0.4
"""Log odds; where the scores spread further, the less sharp half is still sharp."""


def collection_limit(scores: npt.NDArray[np.floating], limit: float = 0.5, deviations: float = 3.5) -> float:
    """Scores (N,) of a whole collection -> the score below which one of its faces is blurred, at most `limit`.

    Where nearly all photos are softer than `limit` (small originals that were enlarged, scans), blur cannot be judged
    by the size of the crop without dropping everything; there a face is blurred if it is far softer than its
    collection: `deviations` robust standard deviations (of the upper half's, which blurred photos do not widen)
    below the median, in log odds, and no more than `deviations` times MOST_SPREAD: among faces all of which are sharp,
    the less sharp are still sharp, and the limit stays. NaN scores do not count; an empty collection has `limit`.
    """
    known = np.asarray(scores, np.float64)
    known = known[np.isfinite(known)].clip(1e-6, 1 - 1e-6)
    if not known.size:
        return limit
    odds = np.log(known / (1 - known))
    median = np.median(odds)
    spread = min(MOST_SPREAD, 1.4826 * float(np.median(odds[odds >= median] - median)))
    return float(min(limit, 1 / (1 + np.exp(deviations * spread - median))))
