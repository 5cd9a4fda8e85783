"""Bootstrap intervals by person: width, coverage, pairing and missing values."""

import numpy as np
import pytest

from train.judge.bootstrap import bootstrap_interval, percent_reduction, reduction_of_means


def test_an_interval_by_person_is_wider_than_one_by_pair_where_people_differ() -> None:
    random = np.random.default_rng(3)
    person = np.repeat(np.arange(12), 50)
    values = random.normal(0, 1, 12)[person] + random.normal(0, 0.1, 600)
    by_person = bootstrap_interval(values, [person])
    by_pair = bootstrap_interval(values, [np.arange(600)])
    assert by_person[0] < values.mean() < by_person[1]
    assert by_person[1] - by_person[0] > 3 * (by_pair[1] - by_pair[0])
    assert bootstrap_interval(values, [person]) == by_person


def test_an_interval_covers_the_true_mean_at_about_its_level() -> None:
    random = np.random.default_rng(0)
    target, source = np.repeat(np.arange(20), 20), np.tile(np.arange(20), 20)
    hits = 0
    for _ in range(100):
        values = 5 + random.normal(0, 1, 20)[target] + random.normal(0, 1, 20)[source] + random.normal(0, 1, 400)
        low, high = bootstrap_interval(values, [target, source], resamples=200)
        hits += low < 5 < high
    assert 85 <= hits <= 100


def test_the_interval_of_a_ratio_is_paired() -> None:
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(10), 20)
    baseline = random.uniform(0.3, 1.0, 10)[person]
    columns = np.stack([0.9 * baseline, baseline], 1)
    low, high = bootstrap_interval(columns, [person], reduction_of_means)
    assert (low, high) == pytest.approx((10, 10))


def test_one_person_has_no_interval_and_missing_values_are_left_out() -> None:
    assert np.isnan(bootstrap_interval(np.ones(4), [np.zeros(4, np.int64)])).all()
    low, high = bootstrap_interval(np.array([1.0, np.nan, 1.0, np.nan]), [np.array([0, 1, 2, 3])])
    assert (low, high) == (1, 1)


def test_a_reduction_is_in_percent_of_the_baseline() -> None:
    assert percent_reduction(np.array([0.3]), np.array([0.4])) == pytest.approx(25)


def test_an_interval_over_pairs_of_two_people_is_undefined() -> None:
    """Every resample that has a pair has all of them."""
    target, source = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    assert np.isnan(bootstrap_interval(np.arange(4.0), [target, source])).all()
    assert np.isfinite(bootstrap_interval(np.arange(6.0), [np.arange(6) % 3, np.arange(1, 7) % 3])).all()
