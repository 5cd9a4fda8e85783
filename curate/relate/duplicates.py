"""Duplicate groups of a dataset: main faces of photos with the same bytes, or of the same picture.

Candidate pairs (`candidates`) are confirmed by their pixels (`pixel_check`) and grouped (`groups`). `decide` chooses
the photo of a group that is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from curate.listener import SILENT, Listener
from curate.relate.bucket import ReadBucket, map_buckets
from curate.relate.candidates import (
    DuplicateLimits,
    PhotoHashes,
    banded_pairs,
    close_pairs,
    cross_pairs,
    exact_pairs,
    unique_pairs,
)
from curate.relate.groups import group_pairs
from curate.relate.identities import BucketFaces, identity_offsets, row_offsets
from curate.relate.photo_quality import best_first
from curate.relate.row_reader import HalfFloats, RowReader, row_vectors

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Confirm = Callable[[Sequence[str], Sequence[str]], Flags]
"""face_ids of P candidates, the first and the second of each pair -> (P,) flags of those whose pixels agree."""

_PAIRS_BLOCK = 65536
_ROWS_BLOCK = 512
_MAX_COMPARED = 16_384
"""Photos of an identity up to which all its pairs are compared; above, candidates come from banding alone."""


@dataclass(frozen=True)
class DuplicateGroups:
    """Grouped photos of a dataset.

    Attributes:
        start: (buckets + 1,) first row of each bucket.
        rows: (G,) ascending rows of the dataset.
        group: (G,) number of the group of each.
    """

    start: Rows
    rows: Rows
    group: Rows

    def of_bucket(self, bucket: int) -> Rows:
        """Return the group of every row of a bucket, -1 for none."""
        position = self.positions_in(bucket)
        return np.where(position < 0, -1, self.group[position]) if len(self.group) else position

    def positions_in(self, bucket: int) -> Rows:
        """Return, for every row of a bucket, its position in `rows`, -1 for none."""
        low, high = self.start[bucket], self.start[bucket + 1]
        first, end = np.searchsorted(self.rows, [low, high])
        position = np.full(high - low, -1, np.int64)
        position[self.rows[first:end] - low] = np.arange(first, end)
        return position


def find_duplicates(
    faces: list[BucketFaces],
    read: ReadBucket,
    limits: DuplicateLimits,
    confirm: Confirm | None = None,
    alternative: Rows | None = None,
    listener: Listener = SILENT,
) -> DuplicateGroups:
    """Find the duplicate groups among the main faces of all buckets.

    Reads the vectors of every bucket once, and again those of the few photos with close hashes.

    Args:
        faces: Of all buckets.
        read: Reads a bucket.
        limits: For candidates.
        confirm: Compares the pixels of candidates; None accepts all.
        alternative: (N,) for each row another identity whose photos it is compared with in full, as with those of its
            own (rows of the concatenated centroids), -1 for none.
        listener: Receives the progress.
    """
    reader = RowReader(read, row_offsets(faces))
    photos = _hashed_photos(faces, alternative)
    near = _near_pairs(photos, reader, limits, listener)
    if confirm is not None and len(near):
        face_ids = dict(zip(np.unique(near).tolist(), reader.face_ids(photos.rows[np.unique(near)]), strict=True))
        near = near[confirm([face_ids[i] for i in near[:, 0].tolist()], [face_ids[i] for i in near[:, 1].tolist()])]
    sha256 = np.concatenate([part.sha256 for part in faces])
    decoded = np.flatnonzero(np.concatenate([part.main & part.decoded for part in faces]) & (sha256 != b""))
    links = np.concatenate([photos.rows[near], exact_pairs(sha256[decoded], decoded)])
    linked = np.unique(links)
    direct = _DirectMatch(photos, sha256, near, linked, reader, limits, confirm)
    return DuplicateGroups(reader.start, *group_pairs(links, direct, _rank(faces, linked)))


@dataclass(frozen=True)
class _HashedPhotos:
    """The H main faces that have hashes: rows of the dataset (ascending), identity and alternative identity."""

    rows: Rows
    hashes: PhotoHashes
    identity: Rows
    alternative: Rows

    def identity_bounds(self) -> Rows:
        """First photo of each identity, and the end."""
        if not len(self.rows):
            return np.zeros(1, np.int64)
        changes = self.identity[1:] != self.identity[:-1]
        return np.flatnonzero(np.concatenate([[True], changes, [True]]))


def _hashed_photos(faces: list[BucketFaces], alternative: Rows | None) -> _HashedPhotos:
    rows = np.flatnonzero(np.concatenate([part.main & part.has_hashes for part in faces]))
    hashes = np.concatenate([part.hashes for part in faces])[rows]
    offsets = identity_offsets(faces)
    identity = np.concatenate([part.identity + offsets[bucket] for bucket, part in enumerate(faces)])
    return _HashedPhotos(
        rows=rows,
        hashes=PhotoHashes(*(np.ascontiguousarray(hashes[:, i]) for i in range(3))),
        identity=identity[rows],
        alternative=np.full(len(rows), -1, np.int64) if alternative is None else alternative[rows],
    )


def _rank(faces: list[BucketFaces], linked: Rows) -> Rows:
    """(N,) rank of the linked rows by quality, the best first; 0 for all other rows."""
    numbers = np.concatenate([part.rank for part in faces])
    eyes, sharpness, size = numbers[linked].T
    order = best_first(eyes, sharpness, np.nan_to_num(size).astype(np.int64), linked)
    rank = np.zeros(len(numbers), np.int64)
    rank[linked[order]] = np.arange(len(linked))
    return rank


class _DirectMatch:
    """Whether two linked photos are copies of each other without a third photo between them.

    They are if they are linked, if they meet the chained limits, if their bytes are equal, or if their pixels agree.
    """

    def __init__(
        self,
        photos: _HashedPhotos,
        sha256: npt.NDArray[np.bytes_],
        near: Pairs,
        linked: Rows,
        reader: RowReader,
        limits: DuplicateLimits,
        confirm: Confirm | None,
    ) -> None:
        self._hashes = photos.hashes
        self._sha256 = sha256
        self._linked = linked
        self._limits = limits.chained()
        self._confirm = confirm
        self._vectors, self._face_ids = reader.vectors(linked), reader.face_ids(linked)
        # Position of each row among the hashed photos, -1 for none.
        self._position = np.full(len(sha256), -1, np.int64)
        self._position[photos.rows] = np.arange(len(photos.rows))
        self._links = np.unique(self._code(near))

    def __call__(self, pairs: Pairs) -> Flags:
        """(P, 2) rows of the dataset -> (P,) flags."""
        ends = self._position[pairs]
        hashed = (ends >= 0).all(axis=1)
        match = np.zeros(len(pairs), bool)
        cosine = _cosine(self._vectors, np.searchsorted(self._linked, pairs[hashed]))
        match[hashed] = self._limits.match(*self._hashes.distance(ends[hashed]), cosine)
        match |= np.isin(self._code(ends), self._links) & hashed
        first, second = self._sha256[pairs].T
        match |= (first == second) & (first != b"")
        left = np.flatnonzero(hashed & ~match)
        if self._confirm is not None and len(left):
            # The hashes of a mirrored copy and of a cropped one differ, although both show the same picture.
            at = np.searchsorted(self._linked, pairs[left])
            match[left] = self._confirm(*([self._face_ids[i] for i in column] for column in at.T))
        return match

    def _code(self, pairs: Pairs) -> Rows:
        """One integer for each unordered pair of hashed photos."""
        code: Rows = pairs.min(axis=1) * len(self._hashes) + pairs.max(axis=1)
        return code


def _near_pairs(photos: _HashedPhotos, reader: RowReader, limits: DuplicateLimits, listener: Listener) -> Pairs:
    """Find candidate pairs of hashed photos: all pairs within an identity and with the alternative one, else banding.

    Returns (P, 2) ascending positions among the hashed photos, once each.
    """
    bounds = photos.identity_bounds()
    pairs = [_banded_across(photos, bounds, reader, limits)]

    suspects = np.flatnonzero(photos.alternative >= 0)
    suspects = suspects[np.argsort(photos.alternative[suspects], kind="stable")]
    target = photos.alternative[suspects]
    suspect_vectors = reader.vectors_in_order(photos.rows[suspects])

    def within(bucket: int) -> list[Pairs]:
        near: list[Pairs] = []
        part = slice(*np.searchsorted(photos.rows, reader.start[bucket : bucket + 2]))
        if part.start == part.stop:
            return near
        vectors = row_vectors(reader.read(bucket), photos.rows[part] - reader.start[bucket]).astype(np.float32)
        low, high = np.searchsorted(bounds, [part.start, part.stop])
        for start, stop in pairwise(bounds[low : high + 1].tolist()):
            if stop - start > _MAX_COMPARED:
                continue
            own = vectors[start - part.start : stop - part.start]
            near.append(close_pairs(photos.hashes.take(slice(start, stop)), own, limits) + start)
            identity = photos.identity[start]
            first, end = np.searchsorted(target, [identity, identity + 1])
            for block in range(first, end, _ROWS_BLOCK):
                rows = slice(block, min(block + _ROWS_BLOCK, end))
                a, b = cross_pairs(
                    photos.hashes,
                    suspects[rows],
                    suspect_vectors[rows].astype(np.float32),
                    np.arange(start, stop),
                    own,
                    limits,
                )
                near.append(np.sort(np.stack([a, b], axis=1), axis=1))
        return near

    pairs += [part for near in map_buckets(listener, "duplicates", len(reader.start) - 1, within) for part in near]
    return unique_pairs(np.concatenate(pairs), len(photos.rows))


def _banded_across(photos: _HashedPhotos, bounds: Rows, reader: RowReader, limits: DuplicateLimits) -> Pairs:
    """Candidates from banding, without the pairs within identities that are compared in full."""
    size = np.diff(bounds)
    too_large = np.repeat(size > _MAX_COMPARED, size)
    pairs = banded_pairs(photos.hashes, limits)
    pairs = pairs[(photos.identity[pairs[:, 0]] != photos.identity[pairs[:, 1]]) | too_large[pairs[:, 0]]]
    involved = np.unique(pairs)
    cosine = _cosine(reader.vectors(photos.rows[involved]), np.searchsorted(involved, pairs))
    candidates: Pairs = pairs[limits.match(*photos.hashes.distance(pairs), cosine)]
    return candidates


def _cosine(vectors: HalfFloats, pairs: Pairs) -> Floats:
    """(P,) cosines of (P, 2) pairs of rows of the vectors."""
    cosine = np.zeros(len(pairs), np.float32)
    for row in range(0, len(pairs), _PAIRS_BLOCK):
        block = slice(row, row + _PAIRS_BLOCK)
        a, b = pairs[block].T
        cosine[block] = np.einsum("nd,nd->n", vectors[a].astype(np.float32), vectors[b].astype(np.float32))
    return cosine
