"""Shares with intervals: reference values, and coverage of planted noise."""

import math

import numpy as np
import pytest

from curate.audit.estimate import Stratum, beta_cdf, beta_quantile, estimate, kappa

special = pytest.importorskip("scipy.special")


def test_the_beta_distribution_is_that_of_scipy() -> None:
    for a in (0.5, 1.0, 3.3, 250.5):
        for b in (1e-3, 1.0, 40.0, 3000.0):
            for x in (1e-6, 0.1, 0.5, 0.97):
                assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), abs=1e-12)
            for p in (0.025, 0.975):
                assert beta_quantile(p, a, b) == pytest.approx(special.betaincinv(a, b, p), abs=1e-9)


@pytest.mark.parametrize(("found", "judged"), [(0, 300), (6, 300), (300, 300), (1, 2)])
def test_one_stratum_has_the_interval_of_clopper_and_pearson(found: int, judged: int) -> None:
    share = estimate([Stratum(10_000, judged, found)])
    low = special.betaincinv(found, judged - found + 1, 0.025) if found else 0
    high = special.betaincinv(found + 1, judged - found, 0.975) if found < judged else 1
    assert (share.share, share.low, share.high) == pytest.approx((found / judged, low, high))


def test_proportional_strata_count_as_one() -> None:
    whole = estimate([Stratum(10_000, 300, 6)])
    parts = estimate([Stratum(8_000, 240, 2), Stratum(2_000, 60, 4), Stratum(0, 0, 0)])
    assert (parts.share, parts.low, parts.high) == pytest.approx((whole.share, whole.low, whole.high))


@pytest.mark.parametrize("noise", [0, 0.02, 0.1])
def test_the_interval_covers_planted_noise_in_94_of_100_audits(noise: float) -> None:
    random = np.random.default_rng(1)
    sizes, drawn = np.array([7000, 2000, 700, 300]), np.array([150, 75, 45, 30])
    risk = np.array([0.2, 1.0, 5.0, 20.0]) * noise / 1.29
    faulty = np.minimum(random.binomial(sizes, np.minimum(risk, 1)), sizes)
    truth = faulty.sum() / sizes.sum()
    covered = 0
    for _ in range(100):
        found = random.hypergeometric(faulty, sizes - faulty, drawn)
        share = estimate([Stratum(*map(int, row)) for row in zip(sizes, drawn, found, strict=True)])
        covered += share.low <= truth <= share.high
    assert covered >= 94


def test_kappa_of_cohen() -> None:
    # Cohen 1960 leaves chance agreement out: 20 + 15 of 50 alike, answers 25/25 and 30/20, kappa 0.4.
    answers = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    first, second = ({k: pair[side] for k, pair in enumerate(answers)} for side in (0, 1))
    assert kappa(first, second) == pytest.approx((0.4, 50, 0.7))
    assert kappa({1: "yes"}, {1: "yes"})[0] == 1
    assert math.isnan(kappa({1: "yes"}, {2: "yes"})[0])
