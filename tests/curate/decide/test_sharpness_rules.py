"""curate/decide/sharpness_rules.py: the limit of review follows that of blur."""

import numpy as np
import pytest

from curate.decide.rules import Policy
from curate.decide.sharpness_rules import review_limit
from tests.samples.photos import decided


def test_the_limit_of_review_is_the_policys_where_that_of_blur_is() -> None:
    assert review_limit(np.array([0.41]), Policy()).tolist() == [pytest.approx(0.6)]


def test_its_shift_is_five_thirds_of_that_of_the_limit_of_blur() -> None:
    def odds(score: float) -> float:
        return float(np.log(score / (1 - score)))

    for limit in (0.33, 0.48):
        (review,) = review_limit(np.array([limit]), Policy())
        assert odds(review) - odds(0.6) == pytest.approx(5 / 3 * (odds(limit) - odds(0.41)))


def test_it_is_never_below_the_limit_of_blur() -> None:
    assert review_limit(np.array([0.1]), Policy(review_sharpness=0.42)).tolist() == [0.1]


def test_extreme_policies_shift_nothing() -> None:
    limit = np.array([0.3])
    assert review_limit(limit, Policy(review_sharpness=1.0)).tolist() == [1.0]
    assert review_limit(limit, Policy(min_sharpness=0.0)).tolist() == [Policy().review_sharpness]
    assert review_limit(limit, Policy(min_sharpness=1.0)).tolist() == [0.3]


def test_faces_above_the_limit_of_blur_are_not_reviewed_where_the_policy_says_so() -> None:
    policy = Policy(adapt_sharpness=False, min_sharpness=0.6, review_sharpness=0.6)
    dropped, kept = decided({"sharpness": 0.59}, {"sharpness": 0.6}, policy=policy)
    assert (dropped["reasons"], kept["reasons"]) == (["blurred"], [])
