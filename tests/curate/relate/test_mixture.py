"""The mixture that tells wrong persons: what it expects of a face depends on the face's quality."""

import numpy as np
import pytest

from curate.relate.mixture import Evidence, judge
from curate.relate.similarity import Pairs

PAIRS = Pairs(same_mean=0.6, same_std=0.1, different_mean=0.0, different_std=0.1)


def evidence(own, turned, people=20):
    """Faces of folders of many, with a nearest other that is chance; `turned` 0-1 is all that is known of quality."""
    count = len(own)
    random = np.random.default_rng(5)
    return Evidence(
        own=np.asarray(own, float),
        nearest=0.22 + 0.03 * random.standard_normal(count),
        support=np.full(count, 50.0),
        nearest_support=np.full(count, 50.0),
        chance_mean=np.zeros(count),
        chance_std=np.full(count, 0.1),
        quality=np.asarray(turned, float)[:, None],
        identity=np.arange(count) % people,
        nearest_identity=(np.arange(count) + 1) % people,
        trust=np.ones(count),
    )


def crowd(turned_spread):
    """400 right faces, half of them turned: those scatter by `turned_spread`, the others by 0.04."""
    random = np.random.default_rng(1)
    turned = np.arange(400) % 2
    own = 0.75 + np.where(turned, turned_spread, 0.04) * random.standard_normal(400)
    return own, turned


def test_a_low_similarity_is_forgiven_where_such_faces_scatter_and_not_where_they_agree():
    own, turned = crowd(turned_spread=0.13)
    told = judge(evidence([*own, 0.2, 0.2], [*turned, 0, 1]), PAIRS)
    frontal, profile = told.wrong[-2:]
    assert frontal > 0.9
    assert profile < 0.5


@pytest.mark.parametrize("turned_spread", [0.04, 0.13])
def test_hardly_a_right_face_is_called_wrong(turned_spread):
    own, turned = crowd(turned_spread)
    assert (judge(evidence(own, turned), PAIRS).wrong >= 0.5).mean() <= 0.0025


def test_a_missing_quality_says_nothing():
    own, _ = crowd(turned_spread=0.04)
    unknown = judge(evidence(own, np.full(400, np.nan)), PAIRS)
    assert np.isfinite(unknown.wrong).all()
    assert unknown.wrong.max() < 0.5
