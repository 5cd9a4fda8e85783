"""Wrong-person probability of each face: a three-component mixture over own and nearest-other similarity.

Each face is right, flipped (a person of another identity of the collection) or an outlier (a person outside it):

    right:   own similarity ~ t(expected, spread)   nearest other ~ maximum of many chance similarities
    flipped: own similarity ~ chance                nearest other ~ as the own similarity of a right face
    outlier: own similarity ~ chance                nearest other ~ maximum of many chance similarities

`expected` is a regression on the soft neighbour count behind the centroid, on the quality of the face (a blurred, small
or turned face of the right person is less similar to its centroid, as is one far from the average on either side) and
on the identity (some identities are tighter than others). So is `spread`: turned faces scatter more. Chance is
measured for each face: the mean and standard deviation of its similarities to all other centroids. The shares of the
components, the regression and the spreads are fitted to the collection by EM (Dempster, Laird and Rubin 1977), so that
1% and 40% of wrong photos need no thresholds of their own. The pair similarities are the prior: it weighs as much as
`_PRIOR_FACES` faces and dominates in small collections.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.relate.similarity import PairSimilarity

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_PRIOR_FACES = 20.0
_PRIOR_WRONG = 0.5  # pseudo-count of flipped faces and of outliers, which keeps their shares above zero
_IDENTITY_FACES = 6.0  # faces at which the offset of an identity counts half
_T_FREEDOM = 5.0  # degrees of freedom of the t distribution, which allows outliers among right faces
_SKEW = 1.35  # upper over lower spread of the maximum of 100 to 10,000 normal numbers
_MIN_SQUARED_RESIDUAL = 0.01  # in spreads; bounds the logarithm of a residual that happens to be zero
_ROUNDS = 30


@dataclass(frozen=True)
class Evidence:
    """Numbers of N faces, all with an own similarity. NaN where a number is missing.

    Attributes:
        own_similarity: (N,) leave-one-out cosine to the own centroid.
        nearest_similarity: (N,) cosine to the nearest other centroid.
        neighbours: (N,) soft neighbour count: sum of the weights behind the own centroid, the face excluded.
        nearest_weight: (N,) sum of the weights behind the nearest other centroid.
        chance_mean, chance_std: (N,) of the cosines of the face to all other centroids.
        quality: (N, Q).
        identity: (N,) small integers.
        nearest_identity: (N,) small integers, -1 where there is no other.
        weight: (N,) 0-1, the initial probability that the face is right.
    """

    own_similarity: Floats
    nearest_similarity: Floats
    neighbours: Floats
    nearest_weight: Floats
    chance_mean: Floats
    chance_std: Floats
    quality: Floats
    identity: Rows
    nearest_identity: Rows
    weight: Floats


@dataclass(frozen=True)
class LabelNoise:
    """Fitted mixture.

    Attributes:
        wrong: (N,) probability that the face shows another person than its identity.
        flipped: (N,) probability that it shows the nearest other identity; part of `wrong`.
        share_flipped, share_outliers: Fitted shares of both in the collection.
    """

    wrong: Floats
    flipped: Floats
    share_flipped: float
    share_outliers: float


def fit_label_noise(evidence: Evidence, similarity: PairSimilarity) -> LabelNoise:
    """Fit the mixture to a whole collection."""
    e = evidence
    count = len(e.own_similarity)
    if not count:
        return LabelNoise(np.empty(0), np.empty(0), 0.0, 0.0)
    chance_mean = np.where(np.isnan(e.chance_mean), similarity.different_mean, e.chance_mean)
    chance_std = np.where(np.isnan(e.chance_std), similarity.different_std, np.maximum(e.chance_std, 1e-3))
    own_z = (e.own_similarity - chance_mean) / chance_std
    nearest_z = (e.nearest_similarity - chance_mean) / chance_std
    has_other = ~np.isnan(nearest_z)
    features, nearest_features = _features(e)
    right = np.clip(e.weight, 0.01, 0.99)
    shares = np.array([0.9, 0.05, 0.05])
    posterior = np.stack([right, (1 - right) / 2, (1 - right) / 2], axis=1)
    defined = np.clip(e.neighbours, 0, 1)
    for _ in range(_ROUNDS):
        right = posterior[:, 0]
        expected, nearest = _expected(e, features, nearest_features, right, similarity)
        top = _fit_maximum(nearest_z[has_other], right[has_other] + 1e-6, 2.5, 0.7)
        log_right = _log_t((e.own_similarity - expected.mean) / expected.spread) - np.log(expected.spread)
        log_chance = _log_normal(own_z, 0.0, 1.0) - np.log(chance_std)
        # Where the centroid has next to no weight behind it, a low own similarity is no evidence.
        log_right = np.logaddexp(log_right + np.log(defined + 1e-9), log_chance + np.log(1 - defined + 1e-9))
        log_top = _log_normal(nearest_z, *top) - np.log(chance_std)
        log_flipped = _log_t((e.nearest_similarity - nearest.mean) / nearest.spread) - np.log(nearest.spread)
        log_top, log_flipped = (np.where(has_other, term, 0.0) for term in (log_top, log_flipped))
        joint = np.log(shares) + np.stack([log_right + log_top, log_chance + log_flipped, log_chance + log_top], axis=1)
        joint[~has_other, 1] = -np.inf
        updated = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        converged = np.abs(updated - posterior).max() < 1e-4
        posterior = updated
        shares = posterior.sum(axis=0) + np.array([_PRIOR_FACES, _PRIOR_WRONG, _PRIOR_WRONG])
        shares /= shares.sum()
        if converged:
            break
    return LabelNoise(1 - posterior[:, 0], posterior[:, 1], float(shares[1]), float(shares[2]))


@dataclass(frozen=True)
class _Expected:
    """Expected similarity of N right faces to a centroid, and its spread, (N,) both."""

    mean: Floats
    spread: Floats


def _features(e: Evidence) -> tuple[Floats, Floats]:
    """(N, F) regressors for the own centroid and for the nearest other: 1, neighbours, quality and its square."""
    quality = np.stack([_standardised(column) for column in e.quality.T], axis=1).reshape(len(e.own_similarity), -1)
    terms = np.concatenate([quality, np.where(quality == 0, 0, quality**2 - 1)], axis=1)
    ones = np.ones(len(e.own_similarity))
    own, other = (
        np.concatenate([np.stack([ones, 1 / (1 + weight)], axis=1), terms], axis=1)
        for weight in (e.neighbours, e.nearest_weight)
    )
    return own, other


def _standardised(values: Floats) -> Floats:
    """Shift and scale to zero mean and unit standard deviation, within -4 to 4; 0 where a value is missing."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    centre, spread = values[known].mean(), values[known].std()
    return np.where(known, (values - centre) / max(spread, 1e-6), 0.0).clip(-4, 4)


def _expected(
    e: Evidence, features: Floats, nearest_features: Floats, right: Floats, similarity: PairSimilarity
) -> tuple[_Expected, _Expected]:
    """Expected similarity of a right face to its own centroid and, were it of that identity, to the nearest other.

    Iteratively reweighted ridge regression; `right` (N,) is the current probability that a face is right.
    """
    residual = e.own_similarity - _centroid_similarity(e.neighbours, similarity)
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
        # Leave-one-out: the face is excluded from its identity's offset.
        offset = (total[e.identity] - weight * rest) / (mass[e.identity] - weight + _IDENTITY_FACES)
        spread, nearest_spread = _spread(rest - offset, weight, e.neighbours, e.nearest_weight, similarity)
        factor = _spread_factor((rest - offset) / spread, features[:, 2:], right)
        spread, nearest_spread = spread * factor, nearest_spread * factor
        # Weights of the t distribution reduce the influence of outliers on the fit.
        weight = right * (_T_FREEDOM + 1) / (_T_FREEDOM + ((rest - offset) / spread) ** 2)
    own = _centroid_similarity(e.neighbours, similarity) + features @ slopes + offset
    other = np.where(e.nearest_identity >= 0, (total / (mass + _IDENTITY_FACES))[e.nearest_identity], 0.0)
    nearest = _centroid_similarity(e.nearest_weight, similarity) + nearest_features @ slopes + other
    return _Expected(own, spread), _Expected(nearest, nearest_spread)


def _centroid_similarity(weight: Floats, similarity: PairSimilarity) -> Floats:
    """Cosine to the centroid of m photos, each a cosine r from the face and from each other: r m / |sum|."""
    r, m = max(similarity.same_mean, 0.05), np.maximum(weight, 0.3)
    return np.asarray(r * np.sqrt(m) / np.sqrt(1 + (m - 1) * r), dtype=np.float64)


def _spread(
    residual: Floats, weight: Floats, neighbours: Floats, nearest_weight: Floats, similarity: PairSimilarity
) -> tuple[Floats, Floats]:
    """Spread of the residuals for either centroid: a part of the face, and a part that shrinks with the weight."""
    design = np.stack([np.ones(len(residual)), 1 / (neighbours + 0.5)], axis=1)
    prior = np.eye(2) * _PRIOR_FACES
    moments = design.T @ (weight * residual**2) + prior @ np.full(2, similarity.same_std**2 / 2)
    face, shared = np.linalg.solve((design * weight[:, None]).T @ design + prior, moments)
    floor = (0.3 * similarity.same_std) ** 2
    own, other = (np.sqrt(np.maximum(face + shared / (m + 0.5), floor)) for m in (neighbours, nearest_weight))
    return own, other


def _spread_factor(residual: Floats, quality: Floats, weight: Floats) -> Floats:
    """Factor on the spread of each face that follows from its quality.

    log residual^2 is regressed on the quality (multiplicative heteroscedasticity, Harvey 1976).

    Args:
        residual: (N,) residuals in spreads.
        quality: (N, Q).
        weight: (N,).
    """
    design = np.concatenate([np.ones((len(residual), 1)), quality], axis=1)
    ridge = np.diag([0.0] + [_PRIOR_FACES] * quality.shape[1])
    logs = np.log(residual**2 + _MIN_SQUARED_RESIDUAL)
    slopes = np.linalg.solve((design * weight[:, None]).T @ design + ridge, design.T @ (weight * logs))
    factor = np.exp((quality @ slopes[1:]).clip(-2, 2) / 2)
    return np.asarray(factor / np.sqrt(np.average(factor**2, weights=weight + 1e-9)), dtype=np.float64)


def _fit_maximum(values: Floats, weights: Floats, mean: float, std: float) -> tuple[float, float]:
    """Weighted median and standard deviation of the maximum of many chance similarities.

    The given mean and std count as `_PRIOR_FACES` values. The deviation is estimated from the lower side and scaled by
    `_SKEW`: where one person has two folders, right faces have a nearest other as similar as their own identity, and
    these lie on the upper side.
    """
    if not len(values):
        return mean, std
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    low, median = values[order][np.searchsorted(cumulated, np.array([0.1, 0.5]) * cumulated[-1])]
    share = cumulated[-1] / (cumulated[-1] + _PRIOR_FACES)
    spread = _SKEW * (median - low) / 1.2816
    return float(share * median + (1 - share) * mean), float(share * spread + (1 - share) * std)


def _log_normal(values: Floats, mean: float, std: float) -> Floats:
    return np.asarray(-0.5 * ((values - mean) / std) ** 2 - np.log(std) - 0.9189385, dtype=np.float64)


def _log_t(values: Floats) -> Floats:
    """Log density of Student's t with `_T_FREEDOM` degrees of freedom and unit scale."""
    return np.asarray(-(_T_FREEDOM + 1) / 2 * np.log1p(values**2 / _T_FREEDOM) - 0.9686, dtype=np.float64)
