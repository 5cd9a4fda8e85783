"""Embeddings, points and pictures of swaps -> how good the swaps are; pure functions, no models and no files.

Embeddings are float (N, D), compared by cosine. Pictures are float (N, 3, H, W), RGB in [0, 1]. Points are (N, 5, 2).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from curate.measure.pose import fit_rotation

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DRAWS = 2000
"""Resamples that an interval is made of."""

_WINDOW, _SIGMA = 11, 1.5
_AT_ONCE = 100  # resamples weighed together, which bounds the memory


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cos(a, b) of each row, (N,), 0 to 2."""
    return 1 - F.cosine_similarity(a.float(), b.float())


def relative_fall(value: Floats, baseline: Floats) -> Floats:
    """How far `value` lies below `baseline`, in % of it: the founding report's A (of distances) and T (of times)."""
    return 100 * (1 - value / baseline)


def identity_gain(swap: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """cos(swap, source) - cos(target, source), (N,): how much nearer to its source the swap is than its target was."""
    return F.cosine_similarity(swap.float(), source.float()) - F.cosine_similarity(target.float(), source.float())


def retrieved(swap: Tensor, sources: Ints, gallery: Tensor, people: Ints) -> npt.NDArray[np.bool_]:
    """Whether the photo of the gallery that is nearest to each swap shows its source's person (N,).

    sources: (N,) which row of the gallery each swap's identity came from; people: (M,) who is on each row. The source
    photo itself is left out where its person has others, so that a person has to be found and not a picture; the
    target photo is not.
    """
    similarity = (F.normalize(swap.float()) @ F.normalize(gallery.float()).T).cpu().numpy()
    others = np.bincount(people, minlength=int(people.max()) + 1)[people[sources]] > 1
    rows = np.flatnonzero(others)
    similarity[rows, sources[rows]] = -np.inf
    return np.asarray(people[similarity.argmax(1)] == people[sources], bool)


def pose_error(points: Tensor, wanted: Tensor) -> Tensor:
    """Angle in degrees (N,) between the head's attitudes that two sets of five points (N, 5, 2) tell; NaN where not.

    It is the one rotation that takes the first head into the second, whatever its axis.
    """
    turn = fit_rotation(points) @ fit_rotation(wanted).mT
    # trace R = 1 + 2 cos(angle)
    cosine = (turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))


def landmark_error(points: Tensor, wanted: Tensor, eye_distance: float) -> Tensor:
    """Mean distance of the five points (N, 5, 2) from those wanted, in eye distances (N,); NaN where there are none.

    eye_distance: of a frontal face of the same crop, in the points' unit: a profile's own would be near 0.
    """
    distance: Tensor = (points - wanted).double().square().sum(2).sqrt()
    return distance.mean(1) / eye_distance


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB (N,), over all pixels and colours; infinite for equal pictures."""
    return -10 * torch.log10((image.double() - truth.double()).square().mean((1, 2, 3)))


def ssim(image: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (N,), at most 1: Wang et al. 2004, each colour for itself, their mean.

    A Gaussian window of 11 px and sigma 1.5; places where it would reach over the edge are left out.
    """
    at = torch.arange(_WINDOW, dtype=torch.float64, device=image.device) - _WINDOW // 2
    weights = torch.exp(-at.square() / (2 * _SIGMA**2))
    weights = weights / weights.sum()

    def local_mean(x: Tensor) -> Tensor:
        blurred = F.conv2d(F.conv2d(x.flatten(0, 1)[:, None], weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
        return blurred.view(len(x), -1, *blurred.shape[2:])

    x, y = image.double(), truth.double()
    mean_x, mean_y = local_mean(x), local_mean(y)
    # sigma_xy = E[x y] - mu_x mu_y; C1 = (0.01 L)^2 and C2 = (0.03 L)^2 with the range L = 1.
    variance_x = local_mean(x * x) - mean_x.square()
    variance_y = local_mean(y * y) - mean_y.square()
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    of = (mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2)
    return (alike / of).mean((1, 2, 3))


def interval(
    columns: npt.ArrayLike,
    people: Sequence[Ints],
    statistic: Callable[[Floats], Floats] = lambda means: means[:, 0],
    *,
    share: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval by person of a statistic of means: (low, high), which hold `share` of the resamples.

    columns: (N,) or (N, K) numbers of N pairs, rows with a NaN left out; people: for each part that a person plays in
    a pair, (N,) who it is. People are drawn with replacement and a pair counts as often as the product of its people
    (Owen 2007, "The pigeonhole bootstrap"): pairs that share a person are not taken for independent.
    statistic: (draws, K) means -> (draws,). (nan, nan) where fewer than two people are left.
    """
    rows = np.asarray(columns, np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    known = np.isfinite(rows).all(1)
    roles = np.stack([np.asarray(role)[known] for role in people])
    names, codes = np.unique(roles, return_inverse=True)
    codes = codes.reshape(roles.shape)
    if len(names) < 2:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, _AT_ONCE):
        count = random.multinomial(len(names), np.full(len(names), 1 / len(names)), min(_AT_ONCE, draws - start))
        weight = np.prod([count[:, role] for role in codes], axis=0, dtype=np.float64)
        # A draw of few people may hold no pair at all: it says nothing.
        weight = weight[weight.sum(1) > 0]
        found.append(statistic(weight @ rows[known] / weight.sum(1, keepdims=True)))
    low, high = np.quantile(np.concatenate(found), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
