"""Which faces form a batch: seeded pairs of a target and a source, of the same person or of two.

Batch i is a pure function of the seed and i, so a training continues at any batch. Targets visit every face once an
epoch, each person's faces spread evenly over it. The source is another photo of the target's person or, in a
cross-person batch, another target of the batch, by a derangement over the people.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from manifests.errors import DatasetError
from train.data.faces import Indices, TrainingFaces

Kind = Literal["same", "cross"]


@dataclass(frozen=True)
class PairRows:
    """The faces of a batch of B pairs.

    Attributes:
        targets, sources: (B,) indices of faces.
        flips: (B,) whether the target is mirrored.
        jitter: (B,) whether the target is slightly moved and relit: it is its own source.
    """

    targets: Indices
    sources: Indices
    flips: npt.NDArray[np.bool_]
    jitter: npt.NDArray[np.bool_]


class PairSampler:
    """Draws the pairs of each batch; stateless, reads no pixels.

    Args:
        faces: the faces of at least two people.
        batch: pairs in a batch.
        seed: seed of all draws.
        flip: probability that a target is mirrored.

    Raises:
        DatasetError: `faces` has fewer than two people.
    """

    def __init__(self, faces: TrainingFaces, batch: int, seed: int, flip: float = 0.5) -> None:
        if len(faces.people) < 2:
            names = ", ".join(faces.people) or "no person"
            raise DatasetError(f"{faces.root}: only {names} is left to train on; swapping takes two people")
        self.faces, self.batch, self.seed, self.flip = faces, batch, seed, flip
        self._first, self._count = faces.first, faces.count
        self._epoch = lru_cache(maxsize=2)(self._shuffle)

    def rows(self, index: int, kind: Kind) -> PairRows:
        """Draw the pairs of batch `index`.

        A person's only photo is its own source in a batch of the same person: mirrored and jittered.
        """
        rng = np.random.default_rng([self.seed, 1, index])
        positions = index * self.batch + np.arange(self.batch)
        targets = np.array(
            [self._epoch(position // len(self.faces))[position % len(self.faces)] for position in positions.tolist()]
        )
        person = self.faces.person[targets]
        first, count = self._first[person], self._count[person]
        flips = rng.random(self.batch) < self.flip
        if kind == "same":
            # Uniform over the person's other photos.
            step = 1 + rng.integers(0, np.maximum(count - 1, 1))
            sources = first + (targets - first + step) % count
            return PairRows(targets, sources, flips | (count == 1), count == 1)
        order = derangement(person, rng)
        if order is None:
            # One person has most of the batch: uniform over all photos of the others.
            draws = rng.integers(0, len(self.faces) - count)
            sources = draws + np.where(draws >= first, count, 0)
        else:
            sources = targets[order]
        return PairRows(targets, sources, flips, np.zeros(self.batch, bool))

    def _shuffle(self, epoch: int) -> Indices:
        """Return a permutation of the faces: the k-th of a person's n faces is at about (k + u) / n of the epoch."""
        rng = np.random.default_rng([self.seed, 0, epoch])
        mixed = np.lexsort([rng.random(len(self.faces)), self.faces.person])
        rank = np.arange(len(self.faces)) - self._first[self.faces.person]
        start = rng.random(len(self.faces.people))[self.faces.person]
        return mixed[np.argsort((rank + start) / self._count[self.faces.person], kind="stable")]


def derangement(people: Indices, rng: np.random.Generator) -> Indices | None:
    """Return an order (B,) with people[order[i]] != people[i] for every i.

    None where there is none: exactly where one person has more than half of the rows.
    """
    _, person, counts = np.unique(people, return_inverse=True, return_counts=True)
    largest = int(counts.max())
    if 2 * largest > len(people):
        return None
    # With each person's rows adjacent and the people in random order, a rotation by the largest count maps every row to
    # another person's.
    grouped = np.lexsort([rng.random(len(people)), rng.permutation(len(counts))[person]])
    order = np.empty_like(grouped)
    order[grouped] = np.roll(grouped, -largest)
    return order
