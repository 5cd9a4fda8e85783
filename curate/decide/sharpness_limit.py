"""The sharpness limit of a collection: lower than the policy's where nearly all photos are soft."""

import numpy as np
import numpy.typing as npt

MAX_SPREAD = 0.4
"""Log odds. The spread is limited to this, so that the less sharp half of a sharp collection does not count as soft."""


def collection_limit(scores: npt.NDArray[np.floating], limit: float = 0.5, deviations: float = 3.5) -> float:
    """Return the sharpness below which a face of the collection is blurred, at most `limit`.

    Where nearly all photos are softer than `limit` (enlarged small originals, scans), the limit would drop almost
    everything. There a face counts as blurred if it is far softer than its collection:

        logit(limit') = median(x) - deviations * min(MAX_SPREAD, 1.4826 * median(x_upper - median(x)))

    with x the log odds of the scores and x_upper their upper half, which blurred photos do not widen.

    Args:
        scores: (N,) sharpness scores of the whole collection, 0-1; NaN is ignored. With no score left, the result is
            `limit`.
        limit: sharpness limit of the policy.
        deviations: robust standard deviations below the median from which a face is blurred.
    """
    finite = np.asarray(scores, np.float64)
    finite = finite[np.isfinite(finite)].clip(1e-6, 1 - 1e-6)
    if not finite.size:
        return limit
    odds = np.log(finite / (1 - finite))
    median = np.median(odds)
    spread = min(MAX_SPREAD, 1.4826 * float(np.median(odds[odds >= median] - median)))
    return float(min(limit, 1 / (1 + np.exp(deviations * spread - median))))
