"""The queues of the page: which photos a person looks at, and in which order of screens.

A screen is a person, a group of copies, or a pair of identities; its key is "person:3", "copies:7" or "pair:3:5".
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.decide.rules import RULES
from curate.review.document import PERSON, Document
from curate.review.filters import matching, parse_filter
from curate.review.index import NONE, OPEN_DOUBT, PhotoIndex
from manifests.identity import NO_IDENTITY
from manifests.schema import REASONS

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

DOUBTFUL, SECOND, COPIES, PAIRS, DECIDED, ALL = "doubtful", "second", "copies", "pairs", "decided", "all"
REASON, FILTER = "reason:", "filter:"

MAX_SCREENS = 20_000
"""Screens listed of a queue."""


@dataclass(frozen=True)
class Screen:
    """An entry of a queue: its key, its title, and the photos to decide."""

    key: str
    title: str
    open: int


@dataclass(frozen=True)
class QueueName:
    """A queue in the menu: its name, its title and the photos, groups or pairs to decide."""

    name: str
    title: str
    count: int


def menu(index: PhotoIndex, document: Document) -> list[QueueName]:
    """Return the queues that have something to decide, and those that always exist.

    Queues in which the program asks come before those in which it has decided.
    """
    undecided = _undecided(index)
    entries = [QueueName(DOUBTFUL, "Doubtful photos", int(index.open().sum()))]
    second = int(((index.group == 2) & undecided).sum())
    pairs, groups = len(_pairs(index, document)), len(_copy_groups(index))
    reasons: dict[str, list[QueueName]] = {"review": [], "drop": []}
    for k, rule in enumerate(RULES):
        count = int(((index.reasons >> np.uint32(k) & 1 > 0) & undecided).sum())
        title = rule.reason.replace("_", " ").capitalize()
        reasons[rule.verdict].append(QueueName(REASON + rule.reason, title, count))
    optional = [
        QueueName(SECOND, "Second person in a folder", second),
        QueueName(PAIRS, "One person, two folders?", pairs),
        *reasons["review"],
        QueueName(COPIES, "Copies side by side", groups),
        *reasons["drop"],
    ]
    decided = int((~undecided).sum())
    entries += [entry for entry in optional if entry.count]
    return [*entries, QueueName(DECIDED, "Decided by a person", decided), QueueName(ALL, "All photos", len(index))]


def first_queue(index: PhotoIndex, document: Document) -> str:
    """Return the first queue of the menu that has something to decide; DOUBTFUL where none has."""
    if index.open().any():
        return DOUBTFUL
    to_do = [entry.name for entry in menu(index, document) if entry.count and entry.name not in (DECIDED, ALL)]
    return to_do[0] if to_do else DOUBTFUL


def matches(queue: str, index: PhotoIndex, dataset: Path) -> Flags:
    """Return the photos of a queue, decided ones included, (N,).

    Raises FilterError for a filter that cannot be read, KeyError for an unknown queue.
    """
    if queue == DOUBTFUL:
        return np.asarray(index.doubt >= OPEN_DOUBT)
    if queue == SECOND:
        return np.asarray(index.group == 2)
    if queue in (ALL, PAIRS):
        return np.ones(len(index), bool)
    if queue == COPIES:
        return np.asarray(index.copies != NONE)
    if queue == DECIDED:
        return ~_undecided(index)
    if queue.startswith(REASON) and queue.removeprefix(REASON) in REASONS:
        return np.asarray(index.reasons >> np.uint32(REASONS.index(queue.removeprefix(REASON))) & 1 > 0)
    if queue.startswith(FILTER):
        return matching(parse_filter(queue.removeprefix(FILTER)), dataset, index)
    raise KeyError(queue)


def to_decide(queue: str, index: PhotoIndex, dataset: Path) -> Flags:
    """Return the photos of a queue that no person has decided; of queues to look through, all."""
    flags = matches(queue, index, dataset)
    return flags if queue in (DECIDED, ALL) or queue.startswith(FILTER) else flags & _undecided(index)


def screens(queue: str, index: PhotoIndex, document: Document, dataset: Path) -> list[Screen]:
    """Return the screens of a queue, the most doubtful first; at most MAX_SCREENS."""
    if queue == PAIRS:
        names = index.names.names
        return [Screen(f"pair:{a}:{b}", f"{names[a]} | {names[b]}", 1) for a, b in _pairs(index, document)]
    if queue == COPIES:
        return [
            Screen(f"copies:{group}", f"{_first_name(index, group)}", int(count))
            for group, count in _copy_groups(index)
        ][:MAX_SCREENS]
    flags = to_decide(queue, index, dataset)
    people = len(index.names.names)
    count = np.bincount(index.identity[flags], minlength=people)
    doubt = np.bincount(index.identity[flags], index.doubt[flags], people)
    present = np.flatnonzero(count)
    order = present[np.lexsort((present, -count[present], -doubt[present]))][:MAX_SCREENS]
    return [Screen(f"person:{code}", title_of(index, code), int(count[code])) for code in order.tolist()]


def title_of(index: PhotoIndex, code: int) -> str:
    """Return the name of an identity for display."""
    name = index.names.names[code]
    return "no identity" if name == NO_IDENTITY else name


def _undecided(index: PhotoIndex) -> Flags:
    return np.asarray((index.human < 0) & ~index.moved)


def _copy_groups(index: PhotoIndex) -> list[tuple[int, int]]:
    """Groups with near copies of which no photo is decided, with their sizes; those of several identities first."""
    rows = np.flatnonzero(index.copies != NONE)
    if not len(rows):
        return []
    group = index.copies[rows]
    groups = int(group.max()) + 1
    size = np.bincount(group, minlength=groups)
    near = np.bincount(group[index.copy_kind[rows] == 1], minlength=groups) > 0
    decided = np.bincount(group[~_undecided(index)[rows]], minlength=groups) > 0
    low, high = np.full(groups, len(index.names.names)), np.full(groups, -1)
    np.minimum.at(low, group, index.identity[rows])
    np.maximum.at(high, group, index.identity[rows])
    present = np.flatnonzero(near & ~decided)
    order = present[np.lexsort((present, -size[present], low[present] == high[present]))]
    return [(int(number), int(size[number])) for number in order]


def _first_name(index: PhotoIndex, group: int) -> str:
    rows = np.flatnonzero(index.copies == group)
    return title_of(index, int(index.identity[rows[0]]))


def _pairs(index: PhotoIndex, document: Document) -> list[tuple[int, int]]:
    """Pairs of identities of the same person that no person has joined or kept apart, the largest first."""
    rows = np.flatnonzero((index.same_as != NONE) & (index.same_as != index.identity))
    if not len(rows):
        return []
    codes = np.stack([index.identity[rows], index.same_as[rows]], 1)
    pairs, counts = np.unique(np.sort(codes, axis=1), axis=0, return_counts=True)
    names = index.names.names
    settled = {key[1:] for key in document.keys(PERSON)}
    found = []
    for at in np.argsort(-counts, kind="stable").tolist():
        a, b = int(pairs[at, 0]), int(pairs[at, 1])
        if (min(names[a], names[b]), max(names[a], names[b])) not in settled:
            found.append((a, b))
    return found
