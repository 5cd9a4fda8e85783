"""curate/decide/sharpness_limit.py: the limit adapts to collections that are soft as a whole."""

import numpy as np

from curate.decide.sharpness_limit import collection_limit


def test_only_soft_collections_lower_the_limit() -> None:
    random = np.random.default_rng(0)
    sharp, soft = random.normal(0.8, 0.03, 500), random.normal(0.4, 0.03, 500)
    blurred = random.normal(0.15, 0.03, 100)
    assert collection_limit(sharp) == 0.5
    assert collection_limit(np.concatenate([sharp, blurred])) == 0.5
    limit = collection_limit(np.concatenate([soft, blurred, [np.nan]]))
    assert blurred.max() < limit < soft.min()
    assert collection_limit(np.array([])) == 0.5
