"""FID and KID: known distances of Gaussians, bias in small samples, and intervals over people."""

import numpy as np
import pytest

from train.judge.fid import compare, frechet_distance, halves_distance, kernel_distance


def test_the_distance_of_gaussians_is_that_of_their_moments() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(20_000, 3))
    # |mu|^2 + sum (sigma_x - sigma_y)^2 = 4 + (2 - 1)^2
    y = x * [2, 1, 1] + [0, 2, 0]
    assert frechet_distance(x, y) == pytest.approx(5, rel=0.03)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert kernel_distance(x[:500], y[:500]) > 0.5


def test_fid_is_biased_in_small_samples_and_kid_is_not() -> None:
    random = np.random.default_rng(1)
    draws = [random.normal(size=(2, 60, 20)) for _ in range(20)]
    assert np.mean([frechet_distance(x, y) for x, y in draws]) > 1
    assert np.mean([kernel_distance(x, y) for x, y in draws]) == pytest.approx(0, abs=0.05)
    assert halves_distance(np.concatenate(draws[0])) > 1


def test_intervals_over_people_hold_the_value_and_need_people() -> None:
    random = np.random.default_rng(2)
    photos, swaps = random.normal(size=(200, 4)), random.normal(0.5, 1, (200, 4))
    people = np.repeat(np.arange(10), 20)
    result = compare(swaps, np.stack([people, np.roll(people, 20)], 1), photos, people)
    for estimate in (result.fid, result.kid):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.value is not None
        assert 0 < estimate.low < estimate.value < estimate.high
    assert (result.swaps, result.photos) == (200, 200)
    one = np.zeros(200, np.int64)
    assert compare(swaps, np.stack([one, one], 1), photos, one).fid.low is None
