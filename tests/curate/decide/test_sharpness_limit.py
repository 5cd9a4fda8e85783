"""curate/decide/sharpness_limit.py: limits near the policy's, one for each size of the photos."""

import numpy as np
import pytest

from curate.decide.sharpness_limit import MIN_FACES, SharpnessLimits, collection_limits, fixed_limit

RANDOM = np.random.default_rng(0)


def scores(odds: float, count: int) -> np.ndarray:
    """Scores around `odds`."""
    return 1 / (1 + np.exp(-RANDOM.normal(odds, 0.7, count)))


def limits(*values: np.ndarray, side: int = 0) -> SharpnessLimits:
    """Limits of photos of `side`, of a size each without it."""
    joined = np.concatenate(values)
    sides = np.full(len(joined), side) if side else np.arange(len(joined))
    return collection_limits(joined, sides, sides, 0.5)


def test_softer_and_sharper_collections_shift_the_limit_within_bounds() -> None:
    very_soft, soft, usual, sharp, very_sharp = (
        limits(scores(odds, 500)).typical for odds in (-3.0, 0.5, 0.75, 1.1, 9.0)
    )
    assert 0.35 < very_soft < soft < usual < sharp < very_sharp < 0.63
    assert usual == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6])
def test_blurred_photos_hardly_move_the_limit(share: float) -> None:
    blurred = round(1000 * share)
    mixed = limits(scores(1.4, 1000 - blurred), scores(-1.2, blurred))
    assert mixed.typical == pytest.approx(limits(scores(1.4, 1000)).typical, abs=0.11)


def test_photos_of_each_common_size_have_a_limit_of_their_own() -> None:
    width = np.r_[np.full(300, 512), np.full(300, 350), np.arange(100, 160)]
    found = collection_limits(np.r_[scores(4, 300), scores(0, 300), scores(2, 60)], width, width, 0.5)
    assert [(group.width, group.faces) for group in found.groups] == [(350, 300), (512, 300), (None, 60)]
    small, large, other = found.of(np.array([350, 512, 77]), np.array([350, 512, 77]))
    assert small < 0.47 < 0.6 < large
    assert other == np.float32(found.groups[-1].limit)


def test_a_reason_says_where_the_limit_lies_and_why() -> None:
    (group, _) = limits(scores(0.9, 300), side=350).groups
    assert group.reason().startswith(f"350 x 350 px photos: {group.limit:.2f} (0.50 by the policy, shifted because 7%")
    (few,) = limits(scores(0.9, MIN_FACES - 1)).groups
    assert few.reason() == "photos of other sizes: 0.50, as the policy says: 49 faces are too few to adapt it"


def test_missing_scores_small_collections_and_extreme_policies_shift_nothing() -> None:
    nothing = np.full(100, np.nan)
    assert collection_limits(nothing, nothing, nothing, 0.5).typical == 0.5
    assert limits(scores(5, MIN_FACES - 1)).typical == 0.5
    assert collection_limits(scores(5, 100), np.ones(100), np.ones(100), limit=0.0).typical == 0
    assert fixed_limit(0.7).of(np.array([3]), np.array([4])) == np.float32(0.7)
