"""Selection of the faces that checkpoints are judged on, and of the pairs that are swapped; no pixels, no models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.errors import DatasetError
from train.config import Recipe
from train.data.faces import TrainingFaces
from train.data.pairs import Kind, PairRows
from train.networks.people import parse_people

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
        swapped: rows of the faces that are swapped; the others are in the gallery only.
        held_out: whether all checkpoints held their people or, for models of named people, their photos out.
        note: description of the selection, for people.
    """

    faces: TrainingFaces
    swapped: Indices
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
    def sample(cls, judged: JudgedFaces, template: str, count: int) -> "PairSet":
        """Sample at most `count` pairs of each kind. Raises DatasetError with fewer than two people."""
        faces, rows = judged.faces, judged.swapped
        swapped = faces.take(rows)
        cross, same = (sample_pairs(swapped, kind, count, rows) for kind in ("cross", "same"))
        if cross is None:
            raise DatasetError(f"{faces.root}: {', '.join(swapped.people)} is the only person; swapping takes two")
        return cls(faces, template, cross, same)

    def rows(self, kind: Kind) -> PairRows | None:
        """The pairs of that kind."""
        return self.cross if kind == "cross" else self.same


def select_faces(faces: TrainingFaces, recipes: Sequence[Recipe]) -> JudgedFaces:
    """Select the faces of people whom all trainings held out, or of everyone where fewer than two were.

    Models of named people are judged on the people whom all of them name, and on photos that they held out; faces of
    the dataset's other people are in the gallery.

    Args:
        faces: all faces of the dataset.
        recipes: those of the trainings.
    """
    naming = [recipe for recipe in recipes if recipe.people]
    if naming:
        return _select_named(faces, recipes, set.intersection(*(set(parse_people(r.people)) for r in naming)))
    share = min(recipe.held_out for recipe in recipes)
    is_held_out = faces.held_out(share)
    people = len(np.unique(faces.person[is_held_out]))
    is_taken = _evenly_spaced(faces)
    if people > 1:
        rows = np.flatnonzero(is_held_out & is_taken)
        note = f"{people:,} held-out people, {len(rows):,} photos"
        return JudgedFaces(faces.take(rows), np.arange(len(rows)), True, note)
    faces = faces.take(np.flatnonzero(is_taken))
    reason = f"only {people} of them was held out" if share else "the training held no one out (held_out = 0)"
    everyone = f"all {len(faces.people):,} people, {len(faces):,} photos"
    note = f"{everyone}, because {reason}: scores on faces of the training data are optimistic"
    return JudgedFaces(faces, np.arange(len(faces)), False, note)


def _select_named(faces: TrainingFaces, recipes: Sequence[Recipe], names: set[str]) -> JudgedFaces:
    """Select the named people's photos that all trainings held out, and photos of all others for the gallery.

    Raises DatasetError: fewer than two of the named people are in the dataset.
    """
    is_named = np.array([name in names for name in faces.people], bool)[faces.person]
    present = sorted({faces.people[index] for index in np.unique(faces.person[is_named])})
    if len(present) < 2:
        raise DatasetError(
            f"{faces.root}: of the people that the checkpoint was trained on ({', '.join(sorted(names))}), it has "
            f"{', '.join(present) or 'no one'}, and swapping takes two: judge on the dataset of the training"
        )
    share = min(recipe.held_out_photos for recipe in recipes)
    is_held_out = faces.held_out(0, share)
    counts = np.bincount(faces.person[is_named & is_held_out], minlength=len(faces.people))
    held_out = bool((counts[np.unique(faces.person[is_named])] > 0).all())
    eligible = np.flatnonzero(~is_named | is_held_out) if held_out else np.arange(len(faces))
    selected = faces.take(eligible)
    selected = selected.take(np.flatnonzero(_evenly_spaced(selected)))
    swapped = np.flatnonzero(np.array([name in names for name in selected.people], bool)[selected.person])
    kind = "held-out photos" if held_out else "photos of the training, on which scores are optimistic,"
    note = f"{len(swapped):,} {kind} of the {len(present)} named people, {len(selected.people)} in the gallery"
    return JudgedFaces(selected, swapped, held_out, note)


def _evenly_spaced(faces: TrainingFaces) -> npt.NDArray[np.bool_]:
    """At most `MAX_FACES_PER_PERSON` of each person, (N,): the k-th of n where k m / n reaches a whole number."""
    position = np.arange(len(faces)) - faces.first[faces.person]
    count = faces.count[faces.person]
    limit = np.minimum(count, MAX_FACES_PER_PERSON)
    return np.asarray((position + 1) * limit // count > position * limit // count, bool)


def sample_pairs(faces: TrainingFaces, kind: Kind, count: int, rows: Indices | None = None) -> PairRows | None:
    """Sample at most `count` different pairs, with people in turn, so that no one dominates; None where there is none.

    rows: (len(faces),), what the indices of the pairs stand for; None for the indices themselves.

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
    return unmodified(targets, sources) if rows is None else unmodified(rows[targets], rows[sources])


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
