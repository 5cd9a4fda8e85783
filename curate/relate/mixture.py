"""Own and nearest-other similarity of the faces of a collection -> the probability that each is of another person.

Every face is one of three: right, flipped (another person of the collection) or strange (a person outside it).

    right:   own ~ t(expected, spread)     nearest other ~ the highest of many chance similarities
    flipped: own ~ chance                  nearest other ~ as a right face's own
    strange: own ~ chance                  nearest other ~ the highest of many chance similarities

`expected` is a regression on the support of the centre, on the face's quality (a blurred, small or turned face of the
right person resembles its centre less, and one far from the usual on either side) and on the identity (some centres are
tighter than others). So is `spread`: how much a turned face resembles its centre is less certain. Chance is measured,
not assumed: the mean and deviation of this very face's similarities to all other centres. The shares of the three, the
regression and the spreads are fitted to the collection by EM (Dempster, Laird and Rubin 1977), so that 1% and 40% of
wrong photos need no thresholds of their own. The similarities of pairs are the prior, which weighs as much as
`_PRIOR_FACES` faces and decides alone in collections too small to speak.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate.similarity import Pairs

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_PRIOR_FACES = 20.0
_PRIOR_WRONG = 0.5  # faces of each wrong kind that are taken as seen, so that no share becomes zero
_IDENTITY_FACES = 6.0  # an identity's own offset counts half with so many faces
_FREEDOM = 5.0  # degrees of freedom of the t distribution: good photos have outliers
_SKEW = 1.35  # upper over lower spread of the highest of 100 to 10,000 normal numbers
_LEAST_SQUARE = 0.01  # of a residual in spreads, so that one that happens to be zero says little
_ROUNDS = 30


@dataclass(frozen=True)
class Evidence:
    """What is known of N faces, all with an own similarity. NaN where a number is missing.

    own, nearest: cosine to the own centre (the face left out) and to the nearest other. support, nearest_support: sum
    of the weights that made either centre. chance_mean, chance_std: of this face's cosines to all other centres.
    quality: (N, Q). identity, nearest_identity: (N,) small integers, -1 where there is no other. trust: (N,) 0-1, a
    first guess that the face is right.
    """

    own: Floats
    nearest: Floats
    support: Floats
    nearest_support: Floats
    chance_mean: Floats
    chance_std: Floats
    quality: Floats
    identity: Rows
    nearest_identity: Rows
    trust: Floats


@dataclass(frozen=True)
class Verdict:
    """(N,) probability of another person, and of that being the nearest other identity; the fitted shares of both."""

    wrong: Floats
    flipped: Floats
    share_flipped: float
    share_strange: float


def judge(evidence: Evidence, pairs: Pairs, rounds: int = _ROUNDS) -> Verdict:
    """Evidence of a whole collection -> Verdict for each face."""
    e = evidence
    count = len(e.own)
    if not count:
        return Verdict(np.empty(0), np.empty(0), 0.0, 0.0)
    chance_mean = np.where(np.isnan(e.chance_mean), pairs.different_mean, e.chance_mean)
    chance_std = np.where(np.isnan(e.chance_std), pairs.different_std, np.maximum(e.chance_std, 1e-3))
    own_z, nearest_z = (e.own - chance_mean) / chance_std, (e.nearest - chance_mean) / chance_std
    has_other = ~np.isnan(nearest_z)
    features, claim_features = _features(e)
    right = np.clip(e.trust, 0.01, 0.99)
    shares = np.array([0.9, 0.05, 0.05])
    posterior = np.stack([right, (1 - right) / 2, (1 - right) / 2], axis=1)
    believable = np.clip(e.support, 0, 1)
    for _ in range(rounds):
        right = posterior[:, 0]
        expected, spread, claim, claim_spread = _expected(e, features, claim_features, right, pairs)
        top = _highest_fit(nearest_z[has_other], right[has_other] + 1e-6, 2.5, 0.7)
        log_right = _log_t((e.own - expected) / spread) - np.log(spread)
        log_chance = _log_normal(own_z, 0.0, 1.0) - np.log(chance_std)
        # Where hardly anybody supports the centre, a low own similarity says nothing against the face.
        log_right = np.logaddexp(log_right + np.log(believable + 1e-9), log_chance + np.log(1 - believable + 1e-9))
        log_top = _log_normal(nearest_z, *top) - np.log(chance_std)
        log_claimed = _log_t((e.nearest - claim) / claim_spread) - np.log(claim_spread)
        log_top, log_claimed = (np.where(has_other, term, 0.0) for term in (log_top, log_claimed))
        joint = np.log(shares) + np.stack([log_right + log_top, log_chance + log_claimed, log_chance + log_top], axis=1)
        joint[~has_other, 1] = -np.inf
        fresh = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        done = np.abs(fresh - posterior).max() < 1e-4
        posterior = fresh
        shares = posterior.sum(axis=0) + np.array([_PRIOR_FACES, _PRIOR_WRONG, _PRIOR_WRONG])
        shares /= shares.sum()
        if done:
            break
    return Verdict(1 - posterior[:, 0], posterior[:, 1], float(shares[1]), float(shares[2]))


def _features(e: Evidence) -> tuple[Floats, Floats]:
    """(N, F) regressors for the own centre and for the nearest other: 1, what support adds, quality and its square."""
    quality = np.stack([_standard(column) for column in e.quality.T], axis=1).reshape(len(e.own), -1)
    terms = np.concatenate([quality, np.where(quality == 0, 0, quality**2 - 1)], axis=1)
    ones = np.ones(len(e.own))
    own, other = (
        np.concatenate([np.stack([ones, 1 / (1 + support)], axis=1), terms], axis=1)
        for support in (e.support, e.nearest_support)
    )
    return own, other


def _standard(values: Floats) -> Floats:
    """Zero mean and unit deviation; 0 where a value is missing."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    centre, spread = values[known].mean(), values[known].std()
    return np.where(known, (values - centre) / max(spread, 1e-6), 0.0).clip(-4, 4)


def _expected(
    e: Evidence, features: Floats, claim_features: Floats, right: Floats, pairs: Pairs
) -> tuple[Floats, Floats, Floats, Floats]:
    """Expected similarity and its spread for a right face, to its own centre and, if it were of that, to the nearest.

    Weighted ridge regression, repeated so that outliers lose their pull.
    """
    residual = e.own - _from_pairs(e.support, pairs)
    offset = np.zeros(len(residual))
    weight = right
    for _ in range(3):
        ridge = np.eye(features.shape[1]) * _PRIOR_FACES
        slopes = np.linalg.solve(
            (features * weight[:, None]).T @ features + ridge, features.T @ (weight * (residual - offset))
        )
        rest = residual - features @ slopes
        mass = np.bincount(e.identity, weight, minlength=max(e.identity.max(), e.nearest_identity.max()) + 1)
        total = np.bincount(e.identity, weight * rest, minlength=len(mass))
        # A face does not vouch for itself: its own part is left out of its identity's offset.
        offset = (total[e.identity] - weight * rest) / (mass[e.identity] - weight + _IDENTITY_FACES)
        spread, claim_spread = _spread(rest - offset, weight, e.support, e.nearest_support, pairs)
        uneven = _uneven((rest - offset) / spread, features[:, 2:], right)
        spread, claim_spread = spread * uneven, claim_spread * uneven
        # t weights: far outliers pull the fit less
        weight = right * (_FREEDOM + 1) / (_FREEDOM + ((rest - offset) / spread) ** 2)
    own = _from_pairs(e.support, pairs) + features @ slopes + offset
    other = np.where(e.nearest_identity >= 0, (total / (mass + _IDENTITY_FACES))[e.nearest_identity], 0.0)
    return own, spread, _from_pairs(e.nearest_support, pairs) + claim_features @ slopes + other, claim_spread


def _from_pairs(support: Floats, pairs: Pairs) -> Floats:
    """Cosine to the centre of m photos, each a cosine r from the face and from each other: r m / |sum|."""
    r, m = max(pairs.same_mean, 0.05), np.maximum(support, 0.3)
    return np.asarray(r * np.sqrt(m) / np.sqrt(1 + (m - 1) * r), dtype=np.float64)


def _spread(
    rest: Floats, weight: Floats, support: Floats, nearest_support: Floats, pairs: Pairs
) -> tuple[Floats, Floats]:
    """Spread of the residuals at either support: a part of the face's own and a part that shrinks with the support."""
    design = np.stack([np.ones(len(rest)), 1 / (support + 0.5)], axis=1)
    prior = np.eye(2) * _PRIOR_FACES
    wanted = design.T @ (weight * rest**2) + prior @ np.full(2, pairs.same_std**2 / 2)
    face, shared = np.linalg.solve((design * weight[:, None]).T @ design + prior, wanted)
    floor = (0.3 * pairs.same_std) ** 2
    own, other = (np.sqrt(np.maximum(face + shared / (m + 0.5), floor)) for m in (support, nearest_support))
    return own, other


def _uneven(rest: Floats, quality: Floats, weight: Floats) -> Floats:
    """Residuals in spreads, (N, Q) quality, weights -> factor on each spread: faces of some kinds scatter more.

    log rest^2 is regressed on the quality (multiplicative heteroscedasticity, Harvey 1976).
    """
    design = np.concatenate([np.ones((len(rest), 1)), quality], axis=1)
    ridge = np.diag([0.0] + [_PRIOR_FACES] * quality.shape[1])
    logs = np.log(rest**2 + _LEAST_SQUARE)
    slopes = np.linalg.solve((design * weight[:, None]).T @ design + ridge, design.T @ (weight * logs))
    factor = np.exp((quality @ slopes[1:]).clip(-2, 2) / 2)
    return np.asarray(factor / np.sqrt(np.average(factor**2, weights=weight + 1e-9)), dtype=np.float64)


def _highest_fit(values: Floats, weights: Floats, mean: float, std: float) -> tuple[float, float]:
    """Weighted median and deviation of the highest of many; the given ones count as `_PRIOR_FACES` values.

    The deviation is taken from the lower side, times what the upper is wider by: one person in two folders gives right
    faces a nearest other as close as their own, and those lie above.
    """
    if not len(values):
        return mean, std
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    low, middle = values[order][np.searchsorted(reached, np.array([0.1, 0.5]) * reached[-1])]
    share = reached[-1] / (reached[-1] + _PRIOR_FACES)
    spread = _SKEW * (middle - low) / 1.2816
    return float(share * middle + (1 - share) * mean), float(share * spread + (1 - share) * std)


def _log_normal(values: Floats, mean: float, std: float) -> Floats:
    return np.asarray(-0.5 * ((values - mean) / std) ** 2 - np.log(std) - 0.9189385, dtype=np.float64)


def _log_t(values: Floats) -> Floats:
    """Log density of Student's t with `_FREEDOM` degrees of freedom, unit scale."""
    return np.asarray(-(_FREEDOM + 1) / 2 * np.log1p(values**2 / _FREEDOM) - 0.9686, dtype=np.float64)
