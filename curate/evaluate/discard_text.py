"""Error-versus-discard curves as lines for a terminal."""

from collections.abc import Iterator

import numpy as np

from curate.counts import counted
from curate.evaluate.discard import Discarded
from curate.evaluate.discard_curve import Curve

_SHOWN = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)


def render(discarded: Discarded) -> Iterator[str]:
    """Yield the curves, the best last but the oracle, and the policy's verdicts beside them."""
    pairs = discarded.pairs
    yield (
        f"{counted(discarded.photos, 'photo')}, {counted(pairs.total, 'pair')} of "
        f"{counted(discarded.identities, 'identity')}; left out: "
        f"{counted(discarded.copies, 'copy')}, {counted(discarded.faceless, 'photo')} without a face"
    )
    yield (
        f"a pair matches from a cosine of {pairs.threshold:.4f}, as {counted(pairs.other_pairs, 'pair')} of two "
        f"identities set it; embedder {discarded.embedder_id}"
    )
    yield ""
    yield "false non-matches while the worst photos are dropped first, by"
    yield f"{'':<24}" + "".join(f"{share:>8.0%}" for share in _SHOWN) + "    area"
    by_area = sorted(discarded.curves.items(), key=lambda item: -item[1].relative_area)
    for name, curve in by_area:
        yield f"{name:<24}" + "".join(f"{rate:>8.2%}" for rate in _shown(curve)) + f"{curve.relative_area:>8.3f}"
    yield "area: mean over the curve relative to that without dropping; 1 is random"
    yield "wrong person is computed from the embeddings that judge, the other scores from pixels and landmarks"
    yield ""
    yield f"{'photos dropped':<32}{'share':>8}{'misses':>8}  {'95% interval':<16}{'all scores':>11}{'oracle':>8}"
    for point in discarded.points:
        at = point.curve
        interval = f"{at.low[0]:.2%}-{at.high[0]:.2%}"
        yield (
            f"{point.name:<32}{at.shares[0]:>8.2%}{at.fnmr[0]:>8.2%}  {interval:<16}{point.all_scores:>11.2%}"
            f"{point.oracle:>8.2%}"
        )
    yield "all scores, oracle: after as many photos in that order. Intervals: identities drawn again, with replacement"


def _shown(curve: Curve) -> list[float]:
    return [float(curve.fnmr[int(np.argmin(np.abs(curve.shares - share)))]) for share in _SHOWN]
