"""The draw of an audit: photos of the kept and of the dropped ones, stratified by doubt, in a random order."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.decide.collection import DROP, KEEP
from curate.review.index import PhotoIndex
from manifests.schema import REASONS

Rows = npt.NDArray[np.int64]

KEPT, DROPPED = "kept", "dropped"
"""Populations: what training uses; what is dropped for a reason that can be judged by eye."""

EDGES = (0.01, 0.05, 0.2)
"""Doubts at which strata begin, beside 0."""

EXPECTED = (0.01, 0.02, 0.05, 0.1)
"""Shares of noise that are expected in the strata: a stratum is sampled like size x sqrt(share) (Neyman allocation for
small shares). A wrong expectation widens intervals; it never makes them wrong."""

MIN_OF_STRATUM, MIN_SHARE = 10, 0.03
"""Least photos of each stratum that has as many, and as a share of the draw: the smaller number counts, at least 1."""

_NOT_BY_EYE = sum(1 << REASONS.index(reason) for reason in ("undecodable", "duplicate", "near_duplicate", "excluded"))
"""Reasons that one photo alone does not show."""


@dataclass(frozen=True)
class Drawn:
    """A drawn photo: its image_id, its population, and its stratum (0, 1, ...)."""

    image_id: str
    population: str
    stratum: int


@dataclass(frozen=True)
class Draw:
    """A draw.

    Attributes:
        seed: of the random numbers.
        basis: identifies the manifest that it was drawn from.
        photos: in the order in which they are judged.
        sizes: population -> number of photos of each stratum.
    """

    seed: int
    basis: str
    photos: tuple[Drawn, ...]
    sizes: dict[str, list[int]]


def draw(index: PhotoIndex, seed: int, basis: str, kept: int, dropped: int, keep_review: bool = False) -> Draw:
    """Draw `kept` and `dropped` photos of the two populations, or all where there are fewer.

    keep_review: whether training uses photos to review.
    """
    random = np.random.default_rng(seed)
    verdict = index.verdict()
    populations = {
        KEPT: (np.flatnonzero(verdict != DROP if keep_review else verdict == KEEP), kept),
        DROPPED: (np.flatnonzero((verdict == DROP) & (index.reasons & ~np.uint32(_NOT_BY_EYE) > 0)), dropped),
    }
    photos: list[Drawn] = []
    sizes = {}
    # The doubt of a verdict is that of `curate.report.doubts`; 2 x wrong_person continues it below the policy's bounds.
    doubt = np.fmax(index.doubt, np.minimum(2 * np.nan_to_num(index.wrong), 1))
    for population, (rows, count) in populations.items():
        strata = np.digitize(doubt[rows], EDGES)
        sizes[population] = np.bincount(strata, minlength=len(EDGES) + 1).tolist()
        for stratum, number in enumerate(allocation(sizes[population], count)):
            chosen = random.choice(rows[strata == stratum], number, replace=False)
            photos += [Drawn(image_id, population, stratum) for image_id in index.ids(chosen)]
    order = random.permutation(len(photos)).tolist()
    return Draw(seed, basis, tuple(photos[place] for place in order), sizes)


def allocation(sizes: list[int], count: int) -> list[int]:
    """Return how many photos of each stratum are drawn, `count` in all, or all photos where there are fewer."""
    size = np.array(sizes)
    if count >= size.sum():
        return list(sizes)
    if not count:
        return [0] * len(sizes)
    least = np.minimum(size, max(1, min(MIN_OF_STRATUM, int(MIN_SHARE * count))))
    weight = size * np.sqrt(EXPECTED)
    number = least
    while (left := count - number.sum()) > 0:
        # One more for the stratum that is furthest below its share.
        lacking = np.where(number < size, weight / weight.sum() * count - number, -np.inf)
        step = np.zeros_like(number)
        step[int(np.argmax(lacking))] = max(1, min(left, int(lacking.max()), int((size - number)[lacking.argmax()])))
        number = number + step
    result: list[int] = number.tolist()
    return result
