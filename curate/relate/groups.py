"""Groups of duplicates from linked pairs, without chaining."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def group_pairs(pairs: Pairs, direct: Callable[[Pairs], Flags], rank: Rows) -> tuple[Rows, Rows]:
    """Group linked photos so that each member matches the best photo of its group directly.

    Links are transitive, but a chain a-b-c of gradually changing pictures does not make a and c duplicates: a photo
    joins the best photo that any path of links reaches only if `direct` accepts this pair. The rest is grouped again
    without the joined photos.

    Args:
        pairs: (P, 2) linked rows.
        direct: (Q, 2) pairs of rows -> (Q,) flags of those that show the same picture.
        rank: (N,) rank of every row, the best first.

    Returns:
        (G,) ascending rows of grouped photos, and the (G,) number of their group: the row of its best photo.
    """
    rows_of_round, groups_of_round = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    while len(pairs):
        rows = np.unique(pairs)
        best = _components(np.searchsorted(rows, pairs), rank[rows])
        head = rows[best]
        joins = (head == rows) | direct(np.stack([rows, head], axis=1))
        # A best photo that no other joins forms no group. It is removed, so the loop terminates.
        alone = np.bincount(best[joins], minlength=len(rows))[best] < 2
        grouped = joins & ~alone
        rows_of_round.append(rows[grouped])
        groups_of_round.append(head[grouped])
        left = np.zeros(int(rows[-1]) + 1, bool)
        left[rows[~joins]] = True
        pairs = pairs[left[pairs].all(axis=1)]
    grouped_rows, group = np.concatenate(rows_of_round), np.concatenate(groups_of_round)
    order = np.argsort(grouped_rows)
    return grouped_rows[order], group[order]


def _components(pairs: Pairs, rank: Rows) -> Rows:
    """Return, for each of len(rank) nodes, the best-ranked node of its connected component; pairs: (P, 2) links."""
    order = np.argsort(rank)
    place = np.empty(len(rank), np.int64)
    place[order] = np.arange(len(rank))
    label = np.arange(len(rank))
    ends = place[pairs]
    # Each round propagates the smaller label over every link and then along labels (union-find without recursion).
    while True:
        low = np.minimum(label[ends[:, 0]], label[ends[:, 1]])
        previous = label.copy()
        for side in (0, 1):
            np.minimum.at(label, label[ends[:, side]], low)
            np.minimum.at(label, ends[:, side], low)
        while not np.array_equal(label[label], label):
            label = label[label]
        if np.array_equal(previous, label):
            return order[label[place]]
