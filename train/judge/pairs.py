"""Photos of a dataset -> whom a training is judged on, and which of their photos are paired; no pixels, no models."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from train.data.faces import TrainingFaces
from train.data.pairs import Kind, PairRows

SEED = 0
"""Of which photos are paired: every checkpoint is judged on the same pairs."""

MOST_OF_A_PERSON = 20
"""Photos of a person that are judged on: more would tell the same again, and the judge has to see each."""

Ints = npt.NDArray[np.int64]


def held_out(photos: TrainingFaces, shares: Sequence[float]) -> tuple[TrainingFaces, bool, str]:
    """The photos to judge trainings on that held out these shares of the people, at most MOST_OF_A_PERSON of each.

    Returns the photos, True where nobody on them was trained on, and what to tell the reader. Where fewer than two
    people are held out there is nothing to swap among them: everybody is judged, and the reader is told so.
    """
    away = photos.held_out(min(shares))
    count = len(np.unique(photos.person[away]))
    # Of each person evenly spaced photos: the k-th of n is taken where k m / n reaches the next whole number.
    place = np.arange(len(photos)) - photos.first[photos.person]
    of = photos.count[photos.person]
    most = np.minimum(of, MOST_OF_A_PERSON)
    some = (place + 1) * most // of > place * most // of
    if count > 1:
        rows = np.flatnonzero(away & some)
        return photos.take(rows), True, f"{count:,} held-out people, {len(rows):,} photos"
    photos = photos.take(np.flatnonzero(some))
    why = "the training held nobody out (held_out = 0)" if not min(shares) else f"only {count} of them was held out"
    everybody = f"all {len(photos.people):,} people, {len(photos):,} photos"
    return photos, False, f"{everybody}: {why}, so faces it was trained on flatter it"


def pair_up(photos: TrainingFaces, kind: Kind, count: int) -> PairRows | None:
    """At most `count` different pairs, people taken in turn so that nobody's many photos decide; None where none is.

    cross: in each round all people stand in a random circle, each once a target and once the next one's source.
    same: two different photos of each person who has two.
    """
    random = np.random.default_rng([SEED, ("cross", "same").index(kind)])
    order = [first + random.permutation(number) for first, number in zip(photos.first, photos.count, strict=True)]
    pairs: dict[tuple[int, int], None] = {}
    for found in _circles(order, random) if kind == "cross" else _others(order):
        pairs[found] = None
        if len(pairs) == count:
            break
    if not pairs:
        return None
    targets, sources = np.array(list(pairs), np.int64).T
    still = np.zeros(len(pairs), bool)
    return PairRows(targets, sources, still, still)


def _circles(order: list[Ints], random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Photos of each person -> (target, source) of two people, round by round, some of them more than once."""
    if len(order) < 2:
        return
    # So many rounds meet all pairs of two people many times over.
    for turn in range(len(order) * max(map(len, order)) ** 2):
        circle = random.permutation(len(order))
        for target, source in zip(circle.tolist(), np.roll(circle, -1).tolist(), strict=True):
            mine, theirs = order[target], order[source]
            yield int(mine[turn % len(mine)]), int(theirs[random.integers(len(theirs))])


def _others(order: list[Ints]) -> Iterator[tuple[int, int]]:
    """Photos of each person -> (target, source) of one person, each person's pairs once."""
    for turn in range(max(map(len, order)) * (max(map(len, order)) - 1)):
        for mine in order:
            step, at = 1 + turn // len(mine), turn % len(mine)
            if step < len(mine):
                yield int(mine[at]), int(mine[(at + step) % len(mine)])
