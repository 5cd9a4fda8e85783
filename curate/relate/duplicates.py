"""Duplicates: hashes, embeddings and sizes of photos in, groups of photos that show the same picture out.

Candidates come from four directions, none of them quadratic in the collection:
- the same bytes: equal sha256;
- within an identity: all pairs of its perceptual hashes, in blocks (an identity is small beside the collection);
- within an identity, and between a face and the identity that it resembles more: embeddings so close that hashes may
  differ more, because a crop of a photo shifts what they are made of (`copies`);
- anywhere: multi-index banding (Norouzi et al. 2012). A hash of 64 bits is cut into 8 bytes; by the pigeonhole
  principle two hashes that differ in at most 5 bits share 3 of them, so photos are sorted by each of the 56 triples of
  bytes and only neighbours with the same triple are compared.
A candidate is a duplicate when its hash distance is small and its embeddings agree; `copies.find_copies` may look at
the pixels of what is left.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

_LONGEST_RUN = 64
_BLOCK = 512


@dataclass(frozen=True)
class Limits:
    """What counts as the same picture.

    whole_bits: bits of 64 in which the hashes of whole photos (or of one and the other's mirror image) may differ.
    face_bits: the same for the hashes of the aligned crops, which survive cropping. embedding: least cosine.
    chain: factor on the bits allowed between a photo and the best of its group, when others link them.
    twin: cosine from which either hash may differ in `twin_bits` (of two unrelated pictures 32 differ); above 1: none.
    sure_bits: of the whole photos; where no more differ, a cosine of `sure` will do, because small copies of a picture
    have uncertain faces.
    """

    whole_bits: int = 6
    face_bits: int = 6
    embedding: float = 0.94
    chain: float = 1.5
    twin: float = 2.0
    twin_bits: int = 20
    sure_bits: int = 4
    sure: float = 2.0

    def agree(self, whole: npt.NDArray[np.uint8], face: npt.NDArray[np.uint8], cosine: Floats) -> Flags:
        """(P,) bits between whole photos and between crops, cosines -> which pairs may be one picture."""
        close = (whole <= self.whole_bits) | (face <= self.face_bits)
        twin = np.minimum(whole, face) <= self.twin_bits
        sure = whole <= self.sure_bits
        return (close & (cosine >= self.embedding)) | (twin & (cosine >= self.twin)) | (sure & (cosine >= self.sure))

    def chained(self) -> "Limits":
        """What is asked of a photo and the best of its group, when others link them."""
        return replace(self, whole_bits=int(self.whole_bits * self.chain), face_bits=int(self.face_bits * self.chain))


def exact_pairs(sha256: npt.NDArray[np.bytes_], rows: Rows) -> Pairs:
    """(N,) hashes of the files' bytes at `rows` -> (P, 2) rows with equal bytes, each linked to the next such."""
    order = np.argsort(sha256, kind="stable")
    same = sha256[order][1:] == sha256[order][:-1]
    return np.stack([rows[order[:-1][same]], rows[order[1:][same]]], axis=1)


def hamming(a: Hashes, b: Hashes) -> npt.NDArray[np.uint8]:
    """Bits in which hashes differ, elementwise and broadcast."""
    return np.asarray(np.bitwise_count(a ^ b), dtype=np.uint8)


@dataclass(frozen=True)
class Pictures:
    """The hashes of N photos with a face: of the photo, of its mirror image, of the aligned crop."""

    whole: Hashes
    mirror: Hashes
    face: Hashes

    def part(self, rows: slice) -> "Pictures":
        return Pictures(self.whole[rows], self.mirror[rows], self.face[rows])

    def distance(self, pairs: Pairs) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """(P, 2) pairs -> bits between the photos, mirrored or not, and bits between the crops."""
        a, b = pairs.T
        plain, mirrored = hamming(self.whole[a], self.whole[b]), hamming(self.whole[a], self.mirror[b])
        return np.minimum(plain, mirrored), hamming(self.face[a], self.face[b])


def close_pairs(pictures: Pictures, vectors: Floats, limits: Limits) -> Pairs:
    """N photos of an identity, their (N, D) unit vectors -> (P, 2) ascending pairs of rows that agree, in blocks."""
    found = [np.empty((0, 2), np.int64)]
    for row in range(0, len(vectors), _BLOCK):
        rows, rest = np.arange(row, min(row + _BLOCK, len(vectors))), np.arange(row, len(vectors))
        a, b = agreeing(pictures, rows, vectors[rows], rest, vectors[row:], limits)
        found.append(np.stack([a, b], axis=1)[a < b])
    return np.concatenate(found)


def agreeing(
    pictures: Pictures, rows: Rows, vectors: Floats, others: Rows, of_others: Floats, limits: Limits
) -> tuple[Rows, Rows]:
    """`rows` of the pictures, with their (n, D) vectors, against `others` -> the two rows of each pair that agrees.

    Quadratic: give few at a time.
    """
    cosine = vectors @ of_others.T
    # Few pairs are alike enough for anything, so that only for these the bits are counted.
    a, b = np.nonzero(cosine >= min(limits.embedding, limits.twin, limits.sure))
    pairs = np.stack([rows[a], others[b]], axis=1)
    same = limits.agree(*pictures.distance(pairs), cosine[a, b])
    return pairs[same, 0], pairs[same, 1]


def banded_pairs(pictures: Pictures, limits: Limits) -> Pairs:
    """(P, 2) ascending pairs of rows within the limits on the hashes, found by banding.

    Complete up to 5 differing bits, and nearly so beyond, while no triple of bytes is shared by more than 64 photos; in
    a longer run each photo meets the 64 behind it, so that blank or tiny pictures do not make the pass quadratic.
    """
    count = len(pictures.whole)
    rows = np.arange(count)
    mirrored = np.concatenate([pictures.whole, pictures.mirror])
    found = [
        _within(_band(mirrored, np.concatenate([rows, rows])), pictures, limits),
        _within(_band(pictures.face, rows), pictures, limits),
    ]
    return _unique(np.concatenate(found), count)


def _within(candidates: list[Pairs], pictures: Pictures, limits: Limits) -> Pairs:
    kept = [np.empty((0, 2), np.int64)]
    for pairs in candidates:
        whole, face = pictures.distance(pairs)
        kept.append(pairs[(whole <= limits.whole_bits) | (face <= limits.face_bits)])
    return np.concatenate(kept)


def _band(hashes: Hashes, rows: Rows) -> list[Pairs]:
    """For each triple of bytes, the ascending pairs of rows that share it and differ in few bits."""
    octets = np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)
    found = []
    for triple in combinations(range(8), 3):
        key = octets[:, triple[0]].astype(np.uint32) << 16 | octets[:, triple[1]].astype(np.uint32) << 8
        key |= octets[:, triple[2]]
        order = np.argsort(key, kind="stable")
        sorted_key, sorted_hash = key[order], hashes[order]
        for step in range(1, _LONGEST_RUN + 1):
            (at,) = np.nonzero(sorted_key[step:] == sorted_key[:-step])
            if not len(at):
                break
            at = at[hamming(sorted_hash[at], sorted_hash[at + step]) <= 8]
            pair = np.sort(np.stack([rows[order[at]], rows[order[at + step]]], axis=1), axis=1)
            found.append(pair[pair[:, 0] < pair[:, 1]])
    return found


def _unique(pairs: Pairs, count: int) -> Pairs:
    code = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack([code // count, code % count], axis=1) if count else pairs


def groups(pairs: Pairs, direct: Callable[[Pairs], Flags], rank: Rows) -> tuple[Rows, Rows]:
    """Linked pairs -> rows and their group, two arrays of equal length, ascending by row.

    pairs: (P, 2) rows that show the same picture. rank: (N,) position of every row, the best first. Links are followed
    from friend to friend, but a photo joins only a best photo that it equals itself in the eyes of `direct`
    ((Q, 2) -> (Q,)): a chain a-b-c of ever different pictures does not make a and c one. What does not join its best
    photo is grouped anew among its own. The group's number is the row of its best photo.
    """
    members, group = [], []
    while len(pairs):
        rows = np.unique(pairs)
        best = _components(np.searchsorted(rows, pairs), rank[rows])
        head = rows[best]
        joins = (head == rows) | direct(np.stack([rows, head], axis=1))
        # A best photo that nobody joins is no group; it drops out, and so the loop ends.
        alone = np.bincount(best[joins], minlength=len(rows))[best] < 2
        taken = joins & ~alone
        members.append(rows[taken])
        group.append(head[taken])
        left = np.zeros(int(rows[-1]) + 1, bool)
        left[rows[~joins]] = True
        pairs = pairs[left[pairs].all(axis=1)]
    if not members:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    every, of = np.concatenate(members), np.concatenate(group)
    order = np.argsort(every)
    return every[order], of[order]


def _components(pairs: Pairs, rank: Rows) -> Rows:
    """(P, 2) links between len(rank) nodes -> for each node the best-ranked node that any path links it with."""
    order = np.argsort(rank)
    place = np.empty(len(rank), np.int64)
    place[order] = np.arange(len(rank))
    label = np.arange(len(rank))
    ends = place[pairs]
    # Each round hands the smaller label over every link and then jumps along labels (union-find without recursion).
    while True:
        low = np.minimum(label[ends[:, 0]], label[ends[:, 1]])
        before = label.copy()
        for side in (0, 1):
            np.minimum.at(label, label[ends[:, side]], low)
            np.minimum.at(label, ends[:, side], low)
        while not np.array_equal(label[label], label):
            label = label[label]
        if np.array_equal(before, label):
            return order[label[place]]


def best_first(eye_distance: Floats, sharpness: Floats, file_size: Rows, name: Rows) -> Rows:
    """Return the order that lists N photos of one picture from the best to the worst.

    The larger distance between the eyes comes first, in steps of 5%, because two detections of one face differ by
    less; then the sharper photo, in steps of 0.02; then the larger file; then the smaller `name`. NaN comes last.
    """
    return np.lexsort((name, *quality_keys(eye_distance, sharpness, file_size)))


def quality_keys(eye_distance: Floats, sharpness: Floats, file_size: Rows) -> tuple[Rows, Floats, Floats]:
    """Return the keys of `best_first` for `numpy.lexsort`, the least significant one first."""
    eyes = np.floor(np.log(np.maximum(np.nan_to_num(eye_distance, nan=0.0), 1e-3)) / np.log(1.05))
    sharp = np.round(np.nan_to_num(sharpness, nan=-1.0) / 0.02)
    return -file_size, -sharp, -eyes
