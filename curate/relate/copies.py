"""The main faces of a dataset in; out, the photos that are copies of another: same bytes, or same picture."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from curate.relate.bucket import MeasuredBucket, ReadBucket
from curate.relate.duplicates import (
    Limits,
    Pictures,
    agreeing,
    banded_pairs,
    best_first,
    close_pairs,
    exact_pairs,
    groups,
)
from curate.relate.identities import BucketFaces

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Confirm = Callable[[Sequence[str], Sequence[str]], Flags]
"""face_ids of near duplicates, first and second of each pair -> (P,) whether their pixels agree."""

_GRAIN = 65536
_BLOCK = 512
_DENSE = 16_384
"""Photos of an identity up to which all its pairs are compared; above that, banding alone finds candidates."""


@dataclass(frozen=True)
class Copies:
    """Photos in a duplicate group, by row of the dataset, and the group's number.

    start: (buckets + 1,) first row of each bucket. rows: (G,) ascending.
    """

    start: Rows
    rows: Rows
    group: Rows

    def of_bucket(self, bucket: int) -> Rows:
        """Return the group of every row of a bucket, -1 for none."""
        low, high = self.start[bucket], self.start[bucket + 1]
        here = slice(*np.searchsorted(self.rows, [low, high]))
        group = np.full(high - low, -1, np.int64)
        group[self.rows[here] - low] = self.group[here]
        return group


def find_copies(
    faces: list[BucketFaces],
    read: ReadBucket,
    limits: Limits,
    confirm: Confirm | None = None,
    claim: Rows | None = None,
) -> Copies:
    """Faces of all buckets -> Copies.

    claim: for each row another identity that it may belong to (counted bucket by bucket), -1 for none: its photos are
    compared with it as those of its own are. Reads every bucket's vectors once more, and again those few whose hashes
    come close across identities.
    """
    start = np.cumsum([0, *(len(part.has_face) for part in faces)]).astype(np.int64)
    main = np.concatenate([part.main for part in faces])
    hashed = np.flatnonzero(main & np.concatenate([part.has_hashes for part in faces]))
    hashes = np.concatenate([part.hashes for part in faces])[hashed]
    pictures = Pictures(*(np.ascontiguousarray(hashes[:, i]) for i in range(3)))
    first = np.cumsum([0, *(len(part.names) for part in faces)])
    identity = np.concatenate([part.identity + first[b] for b, part in enumerate(faces)])
    claimed = np.full(len(hashed), -1, np.int64) if claim is None else claim[hashed]
    near = _near_pairs(pictures, read, start, hashed, identity[hashed], claimed, limits)
    if confirm is not None and len(near):
        involved = np.unique(near)
        ids = _told(read, start, hashed[involved], "face_id")
        at = np.searchsorted(involved, near)
        near = near[confirm([ids[i] for i in at[:, 0]], [ids[i] for i in at[:, 1]])]

    sha256 = np.concatenate([part.sha256 for part in faces])
    known = np.flatnonzero(main & np.concatenate([part.decoded for part in faces]) & (sha256 != b""))
    exact = exact_pairs(sha256[known], known)
    links = np.concatenate([hashed[near], exact])
    place = np.full(len(main), -1, np.int64)
    place[hashed] = np.arange(len(hashed))
    linked = np.unique(links)
    vectors, ids = _vectors(read, start, linked), _told(read, start, linked, "face_id")
    seen = np.unique(near.min(axis=1) * len(hashed) + near.max(axis=1))

    def direct(pairs: Rows) -> Flags:
        """Whether two photos are copies without anybody between them: by a link, looser limits, or their pixels."""
        ends = place[pairs]
        both = (ends >= 0).all(axis=1)
        alike = np.zeros(len(pairs), bool)
        cosine = _cosine(vectors, np.searchsorted(linked, pairs[both]))
        alike[both] = limits.chained().agree(*pictures.distance(ends[both]), cosine)
        alike |= np.isin(ends.min(axis=1) * len(hashed) + ends.max(axis=1), seen) & both
        alike |= (sha256[pairs[:, 0]] == sha256[pairs[:, 1]]) & (sha256[pairs[:, 0]] != b"")
        left = np.flatnonzero(both & ~alike)
        if confirm is not None and len(left):
            # A mirrored copy and a cropped one have no hash in common, whatever they are copies of.
            at = np.searchsorted(linked, pairs[left])
            alike[left] = confirm([ids[i] for i in at[:, 0]], [ids[i] for i in at[:, 1]])
        return alike

    numbers = np.concatenate([part.rank for part in faces])
    order = best_first(*_ranked(numbers[linked]), linked)
    rank = np.zeros(len(main), np.int64)
    rank[linked[order]] = np.arange(len(linked))
    return Copies(start, *groups(links, direct, rank))


def _near_pairs(
    pictures: Pictures, read: ReadBucket, start: Rows, rows: Rows, identity: Rows, claim: Rows, limits: Limits
) -> Rows:
    """Photos that may be one picture: all such pairs within identities and with claimed ones, by banding elsewhere.

    pictures, rows, identity, claim: of the H hashed photos. Returns (P, 2) of these, ascending, once each.
    """
    count = len(rows)
    bounds = (
        np.flatnonzero(np.concatenate([[True], identity[1:] != identity[:-1], [True]])) if count else np.zeros(1, int)
    )
    size = np.diff(bounds)
    dense = np.repeat(size > _DENSE, size)
    banded = banded_pairs(pictures, limits)
    # Pairs within an identity are all looked at below, unless it is too large for that.
    banded = banded[(identity[banded[:, 0]] != identity[banded[:, 1]]) | dense[banded[:, 0]]]
    involved = np.unique(banded)
    cosine = _cosine(_vectors(read, start, rows[involved]), np.searchsorted(involved, banded))
    found = [banded[limits.agree(*pictures.distance(banded), cosine)]]

    claims = np.flatnonzero(claim >= 0)
    claims = claims[np.argsort(claim[claims], kind="stable")]
    order = np.argsort(claims)
    of_claims = np.empty((len(claims), 0), np.float16)
    if len(claims):
        held = _vectors(read, start, rows[claims[order]])
        of_claims = held[np.argsort(order)]
    aimed = claim[claims]
    for bucket in range(len(start) - 1):
        here = slice(*np.searchsorted(rows, start[bucket : bucket + 2]))
        if here.start == here.stop:
            continue
        vectors = _of_rows(read(bucket), rows[here] - start[bucket]).astype(np.float32)
        low, high = np.searchsorted(bounds, [here.start, here.stop])
        for a, b in pairwise(bounds[low : high + 1].tolist()):
            if b - a > _DENSE:
                continue
            own = vectors[a - here.start : b - here.start]
            found.append(close_pairs(pictures.part(slice(a, b)), own, limits) + a)
            to = slice(*np.searchsorted(aimed, [identity[a], identity[a] + 1]))
            for block in range(to.start, to.stop, _BLOCK):
                block_rows = slice(block, min(block + _BLOCK, to.stop))
                suspects = of_claims[block_rows].astype(np.float32)
                ours, theirs = agreeing(pictures, claims[block_rows], suspects, np.arange(a, b), own, limits)
                found.append(np.sort(np.stack([ours, theirs], axis=1), axis=1))
    pairs = np.concatenate(found)
    code = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack([code // max(count, 1), code % max(count, 1)], axis=1)


def _cosine(vectors: npt.NDArray[np.float16], pairs: Rows) -> Floats:
    found = np.zeros(len(pairs), np.float32)
    for row in range(0, len(pairs), _GRAIN):
        a, b = pairs[row : row + _GRAIN].T
        found[row : row + _GRAIN] = np.einsum("nd,nd->n", vectors[a].astype(np.float32), vectors[b].astype(np.float32))
    return found


def _vectors(read: ReadBucket, start: Rows, rows: Rows) -> npt.NDArray[np.float16]:
    """Vectors of some rows of the dataset, ascending; zeros for a row without a face."""
    parts = [_of_rows(read(bucket), here) for bucket, here in _by_bucket(start, rows)]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float16)


def _of_rows(held: MeasuredBucket, rows: Rows) -> npt.NDArray[np.float16]:
    face = np.asarray(held.measures["face_id"].is_valid().to_numpy(), bool)
    at = np.where(face, np.cumsum(face) - 1, -1)[rows]
    part = np.zeros((len(rows), held.vectors.shape[1]), np.float16)
    part[at >= 0] = held.vectors[at[at >= 0]]
    return part


def _told(read: ReadBucket, start: Rows, rows: Rows, column: str) -> list[str]:
    """A column of the measures at some rows of the dataset, ascending."""
    return [
        value
        for bucket, here in _by_bucket(start, rows)
        for value in read(bucket).measures[column].take(here).to_pylist()
    ]


def _by_bucket(start: Rows, rows: Rows) -> Iterator[tuple[int, Rows]]:
    """Rows of the dataset, ascending -> each bucket that holds some, and which of its rows they are."""
    for bucket in range(len(start) - 1):
        here = rows[slice(*np.searchsorted(rows, start[bucket : bucket + 2]))] - start[bucket]
        if len(here):
            yield bucket, here


def _ranked(numbers: Floats) -> tuple[Floats, Floats, Rows]:
    eyes, sharpness, size = numbers.T
    return eyes, sharpness, np.nan_to_num(size).astype(np.int64)
