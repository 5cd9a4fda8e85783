"""The main faces of a dataset in; out, the photos that are copies of another: same bytes, or same picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.collection import Faces, Read
from curate.duplicates import Limits, Pictures, banded_pairs, best_first, close_pairs, exact_pairs, groups

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Confirm = Callable[[Sequence[str], Sequence[str]], Flags]
"""face_ids of near duplicates, first and second of each pair -> (P,) whether their pixels agree."""

_GRAIN = 65536


@dataclass(frozen=True)
class Copies:
    """Photos in a group, by row of the dataset: group number, image_id of the kept one and kind (null for that itself).

    start: (buckets + 1,) first row of each bucket. rows: (G,) ascending.
    """

    start: Rows
    rows: Rows
    group: Rows
    of: pa.Array
    kind: pa.Array

    def of_bucket(self, bucket: int) -> tuple[Rows, pa.Array, pa.Array]:
        """Group (-1: none), duplicate_of and duplicate_kind of every row of a bucket."""
        low, high = self.start[bucket], self.start[bucket + 1]
        here = slice(*np.searchsorted(self.rows, [low, high]))
        group = np.full(high - low, -1, np.int64)
        at = np.full(high - low, -1, np.int64)
        group[self.rows[here] - low] = self.group[here]
        at[self.rows[here] - low] = np.arange(here.start, here.stop)
        take = pa.array(at, mask=at < 0)
        return group, self.of.take(take), self.kind.take(take)


def find_copies(faces: list[Faces], read: Read, limits: Limits, confirm: Confirm | None = None) -> Copies:
    """Faces of all buckets -> Copies. Reads again the vectors and ids of those few rows whose hashes come close."""
    start = np.cumsum([0, *(len(part.face) for part in faces)]).astype(np.int64)
    main = np.concatenate([part.main for part in faces])
    hashed = np.flatnonzero(main & np.concatenate([part.hashed for part in faces]))
    hashes = np.concatenate([part.hashes for part in faces])[hashed]
    pictures = Pictures(*(np.ascontiguousarray(hashes[:, i]) for i in range(3)))
    first = np.cumsum([0, *(len(part.names) for part in faces)])
    identity = np.concatenate([part.identity + first[b] for b, part in enumerate(faces)])
    near = _near_pairs(pictures, identity[hashed], limits)

    involved = np.unique(near)
    vectors, _ = _fetch(read, start, hashed[involved])
    agree = _alike(vectors, np.searchsorted(involved, near), limits)
    near = near[agree]
    if confirm is not None and len(near):
        involved = np.unique(near)
        _, ids = _fetch(read, start, hashed[involved])
        at = np.searchsorted(involved, near)
        near = near[confirm([ids[i] for i in at[:, 0]], [ids[i] for i in at[:, 1]])]

    sha256 = np.concatenate([part.sha256 for part in faces])
    known = np.flatnonzero(main & np.concatenate([part.decoded for part in faces]) & (sha256 != b""))
    exact = exact_pairs(sha256[known], known)
    links = np.concatenate([hashed[near], exact])
    place = np.full(len(main), -1, np.int64)
    place[hashed] = np.arange(len(hashed))
    linked = np.unique(links)
    vectors, _ = _fetch(read, start, linked)

    def direct(pairs: Rows) -> Flags:
        """Whether two photos are copies without anybody between them; a little looser than what made the link."""
        a, b = place[pairs].T
        both = (a >= 0) & (b >= 0)
        alike = np.zeros(len(pairs), bool)
        whole, face = pictures.distance(np.stack([a[both], b[both]], axis=1))
        close = (whole <= limits.whole_bits * limits.chain) | (face <= limits.face_bits * limits.chain)
        alike[both] = close & _alike(vectors, np.searchsorted(linked, pairs[both]), limits)
        same_bytes = (sha256[pairs[:, 0]] == sha256[pairs[:, 1]]) & (sha256[pairs[:, 0]] != b"")
        return np.asarray(alike | same_bytes, dtype=bool)

    numbers = np.concatenate([part.rank for part in faces])
    nobody = np.zeros(len(linked), np.int64)
    order = best_first(nobody, nobody, nobody + 0.0, *_ranked(numbers[linked]), linked)
    rank = np.zeros(len(main), np.int64)
    rank[linked[order]] = np.arange(len(linked))
    rows, group = groups(links, direct, rank)
    return _settled(faces, read, start, identity, sha256, numbers, rows, group)


def _settled(
    faces: list[Faces],
    read: Read,
    start: Rows,
    identity: Rows,
    sha256: npt.NDArray[np.bytes_],
    numbers: Floats,
    rows: Rows,
    group: Rows,
) -> Copies:
    """Groups -> which photo of each is kept, by `duplicates.best_first`."""
    own = np.concatenate([part.own for part in faces])[rows]
    image_ids = _image_ids(read, start, rows)
    name = np.argsort(np.argsort(image_ids, kind="stable"), kind="stable")
    order = best_first(group, identity[rows], own, *_ranked(numbers[rows]), name)
    kept = order[np.searchsorted(group[order], group)]
    itself = kept == np.arange(len(rows))
    same = sha256[rows] == sha256[rows[kept]]
    of = pa.array(image_ids[kept], pa.string(), mask=itself)
    kind = pa.array(np.where(same & (sha256[rows] != b""), "exact", "near"), pa.string(), mask=itself)
    return Copies(start, rows, group, of, kind)


def _near_pairs(pictures: Pictures, identity: Rows, limits: Limits) -> Rows:
    """Pairs of close hashes, all of them within identities, by banding across them; ascending and once each."""
    count = len(identity)
    bounds = (
        np.flatnonzero(np.concatenate([[True], identity[1:] != identity[:-1], [True]])) if count else np.zeros(1, int)
    )
    found = [banded_pairs(pictures, limits)]
    found += [close_pairs(pictures, limits, int(a), int(b)) for a, b in pairwise(bounds)]
    code = np.unique(np.concatenate([pairs[:, 0] * count + pairs[:, 1] for pairs in found]))
    return np.stack([code // max(count, 1), code % max(count, 1)], axis=1)


def _alike(vectors: npt.NDArray[np.float16], pairs: Rows, limits: Limits) -> Flags:
    found = np.zeros(len(pairs), bool)
    for row in range(0, len(pairs), _GRAIN):
        a, b = pairs[row : row + _GRAIN].T
        cosine = np.einsum("nd,nd->n", vectors[a].astype(np.float32), vectors[b].astype(np.float32))
        found[row : row + _GRAIN] = cosine >= limits.embedding
    return found


def _fetch(read: Read, start: Rows, rows: Rows) -> tuple[npt.NDArray[np.float16], list[str]]:
    """Vectors (float16, zeros for a row without a face) and face_ids of some rows, ascending."""
    vectors: list[npt.NDArray[np.float16]] = []
    ids: list[str] = []
    for bucket in range(len(start) - 1):
        here = rows[slice(*np.searchsorted(rows, start[bucket : bucket + 2]))] - start[bucket]
        if not len(here):
            continue
        held = read(bucket)
        face = np.asarray(held.measures["face_id"].is_valid().to_numpy(), bool)
        at = np.where(face, np.cumsum(face) - 1, -1)[here]
        part = np.zeros((len(here), held.vectors.shape[1]), np.float16)
        part[at >= 0] = held.vectors[at[at >= 0]]
        vectors.append(part)
        ids += held.measures["face_id"].take(here).to_pylist()
    return (np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float16)), ids


def _image_ids(read: Read, start: Rows, rows: Rows) -> npt.NDArray[np.str_]:
    ids: list[str] = []
    for bucket in range(len(start) - 1):
        here = rows[slice(*np.searchsorted(rows, start[bucket : bucket + 2]))] - start[bucket]
        if len(here):
            ids += read(bucket).measures["image_id"].take(here).to_pylist()
    return np.array(ids, dtype=object)


def _ranked(numbers: Floats) -> tuple[Floats, Floats, Rows]:
    eyes, sharpness, size = numbers.T
    return eyes, sharpness, np.nan_to_num(size).astype(np.int64)
