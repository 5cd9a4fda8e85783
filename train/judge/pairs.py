"""Selection of the faces that generators are judged on, and of the pairs that are swapped; no pixels, no models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.counts import counted
from manifests.errors import DatasetError
from train.config import Recipe
from train.data.faces import TrainingFaces
from train.data.pairs import Kind
from train.networks.people import parse_people

SEED = 0
"""Seed of the pairs where no protocol file states one: every generator is judged on the same ones."""

MAX_FACES_PER_PERSON = 20
"""More faces of a person would hardly change the numbers, and the judge embeds each of them."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class JudgedFaces:
    """The faces that generators are judged on.

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
class JudgedPairs:
    """N swaps of one kind.

    Attributes:
        kind: whether targets and sources are of one person or of two.
        targets: (N,) rows of the judged faces.
        sources: (N, K) rows of the judged faces, the photos of the source person; -1 where a pair has fewer than K.
    """

    kind: Kind
    targets: Indices
    sources: Indices

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def first_sources(self) -> Indices:
        """The first source photo of each pair, (N,)."""
        return self.sources[:, 0]

    def take(self, rows: Indices | slice) -> "JudgedPairs":
        """These pairs only."""
        return JudgedPairs(self.kind, self.targets[rows], self.sources[rows])

    def batches(self, size: int) -> Iterator["JudgedPairs"]:
        """All pairs in sequence, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))

    def source_means(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Mean over each pair's sources of values (M, D) of the judged faces: float32 (N, D)."""
        is_source = (self.sources >= 0)[..., None]
        total = np.where(is_source, np.asarray(values[self.sources], np.float32), 0).sum(1)
        return np.asarray(total / is_source.sum(1), np.float32)


@dataclass(frozen=True)
class PairSet:
    """Pairs of faces to swap, and the gallery in which the swaps' nearest photos are searched.

    Attributes:
        faces: the faces that pairs and gallery index.
        template: name of their crops' template.
        size: side of the crops on which swaps are measured, px.
        gallery: (G,) rows of the faces.
        cross: pairs of two people.
        same: pairs of two photos of a person; None where no person has two photos.
    """

    faces: TrainingFaces
    template: str
    size: int
    gallery: Indices
    cross: JudgedPairs
    same: JudgedPairs | None

    @classmethod
    def sample(
        cls, judged: JudgedFaces, template: str, size: int, count: int, *, seed: int = SEED, sources: int = 1
    ) -> "PairSet":
        """Sample at most `count` pairs of each kind, with all faces as the gallery.

        Args:
            judged: the faces.
            template, size: see `PairSet`.
            count: maximum number of pairs of each kind.
            seed: seed of the pairs.
            sources: photos of the source person in each pair; fewer where the person has fewer, without the target.

        Raises DatasetError with fewer than two people.
        """
        faces, rows = judged.faces, judged.swapped
        swapped = faces.take(rows)
        cross, same = (sample_pairs(swapped, kind, count, seed=seed, sources=sources) for kind in ("cross", "same"))
        if cross is None:
            raise DatasetError(f"{faces.root}: {', '.join(swapped.people)} is the only person; swapping takes two")
        cross, same = (pairs and _renumbered(pairs, rows) for pairs in (cross, same))
        assert cross is not None
        return cls(faces, template, size, np.arange(len(faces)), cross, same)

    @property
    def all(self) -> tuple[JudgedPairs, ...]:
        """The pairs of each kind that there is."""
        return (self.cross,) if self.same is None else (self.cross, self.same)

    def __len__(self) -> int:
        return sum(len(pairs) for pairs in self.all)


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
        names = set.intersection(*(set(parse_people(recipe.people)) for recipe in naming))
        return select_photos(faces, names, min(recipe.held_out_photos for recipe in recipes))
    return select_people(faces, min(recipe.held_out for recipe in recipes))


def select_people(faces: TrainingFaces, share: float, gallery_people: int = 0) -> JudgedFaces:
    """Select the faces of the people held out by `share`, or of everyone where fewer than two are.

    gallery_people: people of the gallery in all; where fewer are held out, others are added, evenly spaced by name.
    """
    is_held_out = faces.held_out(share)
    people = len(np.unique(faces.person[is_held_out]))
    is_taken = _evenly_spaced(faces)
    if people > 1:
        others = np.unique(faces.person[~is_held_out])
        count = min(max(0, gallery_people - people), len(others))
        added = others[np.unique(np.linspace(0, len(others) - 1, count).astype(np.int64))] if count else others[:0]
        selected = faces.take(np.flatnonzero((is_held_out | np.isin(faces.person, added)) & is_taken))
        swapped = np.flatnonzero(selected.held_out(share))
        note = f"{people:,} held-out people, {counted(len(swapped), 'photo')}"
        note += f"; {len(selected.people):,} people in the gallery" if count else ""
        return JudgedFaces(selected, swapped, True, note)
    faces = faces.take(np.flatnonzero(is_taken))
    reason = f"only {people} of them was held out" if share else "the training held no one out (held_out = 0)"
    everyone = f"all {len(faces.people):,} people, {len(faces):,} photos"
    note = f"{everyone}, because {reason}: scores on faces of the training data are optimistic"
    return JudgedFaces(faces, np.arange(len(faces)), False, note)


def select_photos(faces: TrainingFaces, names: set[str], share: float) -> JudgedFaces:
    """Select the named people's photos held out by `share`, and photos of all others for the gallery.

    Raises DatasetError: fewer than two of the named people are in the dataset.
    """
    is_named = np.array([name in names for name in faces.people], bool)[faces.person]
    present = sorted({faces.people[index] for index in np.unique(faces.person[is_named])})
    if len(present) < 2:
        raise DatasetError(
            f"{faces.root}: of the named people ({', '.join(sorted(names))}), it has {', '.join(present) or 'no one'}, "
            "and swapping takes two: judge on the dataset of the training"
        )
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


def sample_pairs(
    faces: TrainingFaces, kind: Kind, count: int, *, seed: int = SEED, sources: int = 1
) -> JudgedPairs | None:
    """Sample at most `count` different pairs, with people in turn, so that no one dominates; None where there is none.

    cross: in each round all people form a random circle, each the target once and the source of the next one once.
    same: two different photos of each person who has two.
    sources: see `PairSet.sample`.
    """
    random = np.random.default_rng([seed, ("cross", "same").index(kind)])
    order = [first + random.permutation(number) for first, number in zip(faces.first, faces.count, strict=True)]
    pairs: dict[tuple[int, int], None] = {}
    for pair in _cross_pairs(order, random) if kind == "cross" else _same_pairs(order):
        pairs[pair] = None
        if len(pairs) == count:
            break
    if not pairs:
        return None
    photos = np.full((len(pairs), sources), -1, np.int64)
    for row, (target, source) in enumerate(pairs):
        others = order[faces.person[source]]
        others = others[(others != source) & (others != target)][: sources - 1]
        photos[row, : 1 + len(others)] = [source, *others]
    return JudgedPairs(kind, np.array([target for target, _ in pairs], np.int64), photos)


def _renumbered(pairs: JudgedPairs, rows: Indices) -> JudgedPairs:
    """The pairs with `rows[i]` in place of i."""
    return JudgedPairs(pairs.kind, rows[pairs.targets], np.where(pairs.sources < 0, -1, rows[pairs.sources]))


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
