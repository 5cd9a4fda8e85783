"""curate/decide/sharpness_limit.py: limits near the policy's, one for each size of the photos."""

import numpy as np
import pytest

from curate.decide.sharpness_limit import (
    MIN_FACES,
    SharpnessLimits,
    collection_limits,
    detail_enlargement,
    fixed_limit,
    sharp_end,
)
from manifests.landmarks import TEMPLATES

RANDOM = np.random.default_rng(0)


def scores(odds: float, count: int) -> np.ndarray:
    """Scores around `odds`."""
    return 1 / (1 + np.exp(-RANDOM.normal(odds, 0.4, count)))


def limits(*values: np.ndarray, side: int = 0, enlargement: float = 1.7) -> SharpnessLimits:
    """Limits of photos of `side`, of a size each without it."""
    joined = np.concatenate(values)
    sides = np.full(len(joined), side) if side else np.arange(len(joined))
    return collection_limits(joined, sides, sides, np.full(len(joined), enlargement), 0.5)


def test_softer_and_sharper_collections_shift_the_limit_within_bounds() -> None:
    very_soft, soft, usual, sharp, very_sharp = (
        limits(scores(odds, 500)).typical for odds in (-3.0, 0.8, 1.2, 1.6, 9.0)
    )
    assert 0.36 < very_soft < soft < usual < sharp < very_sharp < 0.58
    assert usual == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6])
def test_blurred_photos_hardly_move_the_limit(share: float) -> None:
    blurred = round(1000 * share)
    mixed = limits(scores(1.4, 1000 - blurred), scores(-0.6, blurred))
    assert mixed.typical == pytest.approx(limits(scores(1.4, 1000)).typical, abs=0.02)


def test_the_sharp_end_does_not_depend_on_much_softer_faces() -> None:
    sharp = RANDOM.normal(1.5, 0.3, 400)
    assert sharp_end(np.r_[sharp, np.full(600, -0.5)]) == pytest.approx(sharp_end(sharp), abs=0.02)
    assert sharp_end(np.array([2.0])) == 2.0


def test_photos_of_each_common_size_have_a_limit_of_their_own() -> None:
    width = np.r_[np.full(300, 512), np.full(300, 350), np.arange(100, 160)]
    known = np.r_[scores(4, 300), scores(0, 300), scores(2, 60)]
    found = collection_limits(known, width, width, np.full(660, 1.7), 0.5)
    assert [(group.width, group.faces) for group in found.groups] == [(350, 300), (512, 300), (None, 60)]
    small, large, other = found.of(np.array([350, 512, 77]), np.array([350, 512, 77]))
    assert small < 0.45 < 0.55 < large
    assert other == np.float32(found.groups[-1].limit)


def test_a_small_group_follows_what_is_expected_of_its_detail() -> None:
    """Forty sharp thumbnails are not judged as portraits are, nor as blurred ones of a usual size."""
    thumbnails, usual = (limits(scores(0.4, 40), enlargement=value).typical for value in (3.3, 1.7))
    assert thumbnails < usual < 0.5
    assert thumbnails == pytest.approx(limits(scores(0.4, 4000), enlargement=3.3).typical, abs=0.02)


def test_photos_without_a_group_follow_the_collection() -> None:
    width = np.r_[np.full(300, 64), np.arange(100, 105)]
    found = collection_limits(scores(0.3, 305), width, width, np.full(305, 3.3), 0.5)
    assert found.groups[-1].faces == 5
    assert found.groups[-1].limit == pytest.approx(found.groups[0].limit, abs=0.02)


def test_a_reason_says_where_the_limit_lies_and_why() -> None:
    group, others = limits(scores(0.9, 300), side=350).groups
    text = f"350 x 350 px photos: {group.limit:.2f} (0.50 by the policy, shifted because the best 7% of the sharp faces"
    assert group.reason() == (
        f"{text} score above {group.anchor:.2f}, of 300 faces; {group.expected:.2f} is expected of such photos)"
    )
    (few,) = limits(scores(0.9, MIN_FACES - 1)).groups
    assert few.reason() == "photos of other sizes: 0.50, as the policy says: 9 faces are too few to adapt it"
    assert others.reason() == (
        f"photos of other sizes: {others.limit:.2f}, by the sharp faces of all photos; there are no such photos"
    )
    ones = np.ones(100)
    (group,) = collection_limits(scores(0.9, 100), ones, ones, ones, limit=1.0).groups
    assert group.reason() == "photos of other sizes: 1.00, as the policy says: 0 and 1 are not adapted"


def test_an_enlargement_does_not_depend_on_the_template_and_small_photos_are_not_enlarged() -> None:
    standard = detail_enlargement(np.array([2.0, 2.0]), np.array([0.5, np.nan]), TEMPLATES["simswap-224"])
    assert standard.tolist() == [4.0, 2.0]
    half = detail_enlargement(np.array([1.0, 1.0]), np.array([0.5, np.nan]), TEMPLATES["simswap-112"])
    assert half.tolist() == pytest.approx([4.0, 2.0])


def test_missing_scores_small_collections_and_extreme_policies_shift_nothing() -> None:
    nothing = np.full(100, np.nan)
    assert collection_limits(nothing, nothing, nothing, nothing, 0.5).typical == 0.5
    assert limits(scores(5, MIN_FACES - 1)).typical == 0.5
    ones = np.ones(100)
    assert collection_limits(scores(5, 100), ones, ones, ones, limit=0.0).typical == 0
    assert fixed_limit(0.7).of(np.array([3]), np.array([4])) == np.float32(0.7)
