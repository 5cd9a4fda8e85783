"""Selection of the faces that checkpoints are judged on, and of the pairs that are swapped; no pixels, no models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.errors import DatasetError
from train.data.faces import TrainingFaces
from train.data.pairs import Kind, PairRows

SEED = 0
"""Seed of the pairs: every checkpoint is judged on the same ones."""

MAX_FACES_PER_PERSON = 20
"""More faces of a person would hardly change the numbers, and the judge embeds each of them."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class JudgedFaces:
    """The faces that checkpoints are judged on.

    Attributes:
        faces: M faces, at most `MAX_FACES_PER_PERSON` of a person.
        held_out: whether all checkpoints held their people out of the training.
        note: description of the selection, for people.
    """

    faces: TrainingFaces
    held_out: bool
    note: str


@dataclass(frozen=True)
class PairSet:
    """Pairs of faces to swap.

    Attributes:
        faces: the faces that pairs index.
        template: name of their crops' template.
        cross: pairs of two people.
        same: pairs of two photos of a person; None where no person has two photos.
    """

    faces: TrainingFaces
    template: str
    cross: PairRows
    same: PairRows | None

    @classmethod
    def sample(cls, faces: TrainingFaces, template: str, count: int) -> "PairSet":
        """Sample at most `count` pairs of each kind. Raises DatasetError with fewer than two people."""
        cross, same = sample_pairs(faces, "cross", count), sample_pairs(faces, "same", count)
        if cross is None:
            raise DatasetError(f"{faces.root}: {', '.join(faces.people)} is the only person; swapping takes two")
        return cls(faces, template, cross, same)

    def rows(self, kind: Kind) -> PairRows | None:
        """The pairs of that kind."""
        return self.cross if kind == "cross" else self.same


def select_faces(faces: TrainingFaces, held_out_shares: Sequence[float]) -> JudgedFaces:
    """Select the faces of people whom all trainings held out, or of everyone where fewer than two were.

    Args:
        faces: all faces of the dataset.
        held_out_shares: `Recipe.held_out` of each training.
    """
    share = min(held_out_shares)
    is_held_out = faces.held_out(share)
    people = len(np.unique(faces.person[is_held_out]))
    # Evenly spaced faces of each person: the k-th of n is taken where k m / n reaches the next whole number.
    position = np.arange(len(faces)) - faces.first[faces.person]
    count = faces.count[faces.person]
    limit = np.minimum(count, MAX_FACES_PER_PERSON)
    is_taken = (position + 1) * limit // count > position * limit // count
    if people > 1:
        rows = np.flatnonzero(is_held_out & is_taken)
        return JudgedFaces(faces.take(rows), True, f"{people:,} held-out people, {len(rows):,} photos")
    faces = faces.take(np.flatnonzero(is_taken))
    reason = f"only {people} of them was held out" if share else "the training held no one out (held_out = 0)"
    everyone = f"all {len(faces.people):,} people, {len(faces):,} photos"
    return JudgedFaces(
        faces, False, f"{everyone}, because {reason}: scores on faces of the training data are optimistic"
    )


def sample_pairs(faces: TrainingFaces, kind: Kind, count: int) -> PairRows | None:
    """Sample at most `count` different pairs, with people in turn, so that no one dominates; None where there is none.

    cross: in each round all people form a random circle, each the target once and the source of the next one once.
    same: two different photos of each person who has two.
    """
    random = np.random.default_rng([SEED, ("cross", "same").index(kind)])
    order = [first + random.permutation(number) for first, number in zip(faces.first, faces.count, strict=True)]
    pairs: dict[tuple[int, int], None] = {}
    for pair in _cross_pairs(order, random) if kind == "cross" else _same_pairs(order):
        pairs[pair] = None
        if len(pairs) == count:
            break
    if not pairs:
        return None
    targets, sources = np.array(list(pairs), np.int64).T
    return unmodified(targets, sources)


def unmodified(targets: Indices, sources: Indices) -> PairRows:
    """Pairs whose targets are neither mirrored nor jittered."""
    none = np.zeros(len(targets), bool)
    return PairRows(targets, sources, none, none)


def _cross_pairs(order: list[Indices], random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """(target, source) of two people, round by round, with repetitions. order: face indices of each person."""
    if len(order) < 2:
        return
    # Enough rounds to draw every pair of two people many times.
    for turn in range(len(order) * max(map(len, order)) ** 2):
        circle = random.permutation(len(order))
        for target, source in zip(circle.tolist(), np.roll(circle, -1).tolist(), strict=True):
            targets, sources = order[target], order[source]
            yield int(targets[turn % len(targets)]), int(sources[random.integers(len(sources))])


def _same_pairs(order: list[Indices]) -> Iterator[tuple[int, int]]:
    """(target, source) of one person, each pair once. order: face indices of each person."""
    for turn in range(max(map(len, order)) * (max(map(len, order)) - 1)):
        for faces in order:
            step, position = 1 + turn // len(faces), turn % len(faces)
            if step < len(faces):
                yield int(faces[position]), int(faces[(position + step) % len(faces)])
