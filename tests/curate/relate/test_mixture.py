"""Probability of a wrong person: the expected similarity of a face depends on its quality."""

import numpy as np
import pytest

from curate.relate.mixture import Evidence, fit_label_noise
from curate.relate.similarity import PairSimilarity

SIMILARITY = PairSimilarity(same_mean=0.6, same_std=0.1, different_mean=0.0, different_std=0.1)


def evidence(own_similarity, turned, people=20):
    """Faces of large folders whose nearest other identity is chance; `turned` (0-1) is the only quality."""
    count = len(own_similarity)
    random = np.random.default_rng(5)
    return Evidence(
        own_similarity=np.asarray(own_similarity, float),
        nearest_similarity=0.22 + 0.03 * random.standard_normal(count),
        neighbours=np.full(count, 50.0),
        nearest_weight=np.full(count, 50.0),
        chance_mean=np.zeros(count),
        chance_std=np.full(count, 0.1),
        quality=np.asarray(turned, float)[:, None],
        identity=np.arange(count) % people,
        nearest_identity=(np.arange(count) + 1) % people,
        weight=np.ones(count),
    )


def right_faces(turned_spread):
    """400 right faces, half of them turned: these scatter by `turned_spread`, the others by 0.04."""
    random = np.random.default_rng(1)
    turned = np.arange(400) % 2
    own_similarity = 0.75 + np.where(turned, turned_spread, 0.04) * random.standard_normal(400)
    return own_similarity, turned


def test_a_low_similarity_is_wrong_for_a_frontal_face_and_not_for_a_turned_one_where_these_scatter():
    own_similarity, turned = right_faces(turned_spread=0.13)
    noise = fit_label_noise(evidence([*own_similarity, 0.2, 0.2], [*turned, 0, 1]), SIMILARITY)
    frontal, profile = noise.wrong[-2:]
    assert frontal > 0.9
    assert profile < 0.5


@pytest.mark.parametrize("turned_spread", [0.04, 0.13])
def test_right_faces_are_rarely_called_wrong(turned_spread):
    own_similarity, turned = right_faces(turned_spread)
    assert (fit_label_noise(evidence(own_similarity, turned), SIMILARITY).wrong >= 0.5).mean() <= 0.0025


def test_a_missing_quality_has_no_effect():
    own_similarity, _ = right_faces(turned_spread=0.04)
    noise = fit_label_noise(evidence(own_similarity, np.full(400, np.nan)), SIMILARITY)
    assert np.isfinite(noise.wrong).all()
    assert noise.wrong.max() < 0.5
