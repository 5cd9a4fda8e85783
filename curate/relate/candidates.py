"""Candidate pairs of duplicates: photos whose hashes and embeddings are so close that they may show one picture.

Candidates come from four sources, none of them quadratic in the collection:

- equal bytes: equal sha256;
- within an identity: all pairs of perceptual hashes, in blocks;
- within an identity, and between a face and the identity that it is more similar to: embeddings so close that the
  hashes may differ more, because a crop of a photo changes its hashes;
- anywhere: multi-index banding (Norouzi, Punjani and Fleet 2012). A hash of 64 bits is split into 8 bytes; by the
  pigeonhole principle two hashes that differ in at most 5 bits share at least 3 of them, so photos are sorted by each
  of the 56 triples of bytes and only neighbours with an equal triple are compared.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from curate.relate.bucket import THREADS

Hashes = npt.NDArray[np.uint64]
Bits = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

_MAX_RUN = 64
_MAX_BAND_BITS = 8
_PLACE_BITS = 40
"""Bits for the place of a photo beside the 24 bits of a triple of bytes."""
_BLOCK = 512


@dataclass(frozen=True)
class DuplicateLimits:
    """Hash distances and cosines at which two photos may show the same picture.

    A pair is a candidate if it meets one of four conditions: close hashes and `min_cosine`, distant hashes and
    `crop_cosine`, very close hashes and `small_cosine`, or, whatever the hashes, `equal_cosine`.

    Attributes:
        photo_bits: Bits of 64 in which the hashes of the photos (or of one and the mirror image of the other) may
            differ.
        face_bits: The same for the hashes of the aligned crops, which do not change when a photo is cropped.
        min_cosine: Of the embeddings.
        crop_bits: Bits in which the closer of both hashes may differ for `crop_cosine`; 32 differ between unrelated
            pictures.
        crop_cosine: Above 1: never.
        small_bits: Bits between the photos for `small_cosine`; small copies have an uncertain embedding.
        small_cosine: Above 1: never.
        equal_cosine: Above 1: never. A border can change every hash, also that of the crop of a tight photo.
        chain_factor: On `photo_bits` and `face_bits`, for a photo and the best of its group that others link.
    """

    photo_bits: int = 6
    face_bits: int = 6
    min_cosine: float = 0.94
    crop_bits: int = 20
    crop_cosine: float = 2.0
    small_bits: int = 4
    small_cosine: float = 2.0
    equal_cosine: float = 2.0
    chain_factor: float = 1.5

    @property
    def lowest_cosine(self) -> float:
        """Cosine below which no pair is a candidate."""
        return min(self.min_cosine, self.crop_cosine, self.small_cosine, self.equal_cosine)

    def match(self, photo: Bits, face: Bits, cosine: Floats) -> Flags:
        """Mark the candidates among P pairs, from the (P,) bits between photos and between crops, and the cosines."""
        close = ((photo <= self.photo_bits) | (face <= self.face_bits)) & (cosine >= self.min_cosine)
        cropped = (np.minimum(photo, face) <= self.crop_bits) & (cosine >= self.crop_cosine)
        small = (photo <= self.small_bits) & (cosine >= self.small_cosine)
        return close | cropped | small | (cosine >= self.equal_cosine)

    def chained(self) -> "DuplicateLimits":
        """Return the limits for a photo and the best of its group that others link."""
        photo_bits, face_bits = (int(bits * self.chain_factor) for bits in (self.photo_bits, self.face_bits))
        return replace(self, photo_bits=photo_bits, face_bits=face_bits)


@dataclass(frozen=True)
class PhotoHashes:
    """Perceptual hashes of N photos: of the photo, of its mirror image, of the aligned crop."""

    photo: Hashes
    mirror: Hashes
    face: Hashes

    def __len__(self) -> int:
        return len(self.photo)

    def take(self, rows: slice) -> "PhotoHashes":
        return PhotoHashes(self.photo[rows], self.mirror[rows], self.face[rows])

    def distance(self, pairs: Pairs) -> tuple[Bits, Bits]:
        """Bits between the photos of (P, 2) pairs, the lower of plain and mirrored, and bits between their crops."""
        a, b = pairs.T
        plain, mirrored = hamming(self.photo[a], self.photo[b]), hamming(self.photo[a], self.mirror[b])
        return np.minimum(plain, mirrored), hamming(self.face[a], self.face[b])


def hamming(a: Hashes, b: Hashes) -> Bits:
    """Count the bits in which hashes differ, element by element with broadcasting."""
    return np.asarray(np.bitwise_count(a ^ b), dtype=np.uint8)


def exact_pairs(sha256: npt.NDArray[np.bytes_], rows: Rows) -> Pairs:
    """Pair each of `rows` (N,) with the next one of equal sha256 (N,); returns (P, 2)."""
    order = np.argsort(sha256, kind="stable")
    same = sha256[order][1:] == sha256[order][:-1]
    return np.stack([rows[order[:-1][same]], rows[order[1:][same]]], axis=1)


def close_pairs(hashes: PhotoHashes, vectors: Floats, limits: DuplicateLimits) -> Pairs:
    """Find the candidates among N photos with (N, D) unit vectors, in blocks; returns (P, 2) ascending rows."""
    pairs = [np.empty((0, 2), np.int64)]
    for row in range(0, len(vectors), _BLOCK):
        rows, rest = np.arange(row, min(row + _BLOCK, len(vectors))), np.arange(row, len(vectors))
        a, b = cross_pairs(hashes, rows, vectors[rows], rest, vectors[row:], limits)
        pairs.append(np.stack([a, b], axis=1)[a < b])
    return np.concatenate(pairs)


def cross_pairs(
    hashes: PhotoHashes, rows: Rows, vectors: Floats, others: Rows, other_vectors: Floats, limits: DuplicateLimits
) -> tuple[Rows, Rows]:
    """Find the candidates between photos `rows` and photos `others`, with their unit vectors.

    Quadratic in memory: call it with few rows at a time.

    Returns:
        The rows of each candidate pair: (P,) of `rows` and (P,) of `others`.
    """
    cosine = vectors @ other_vectors.T
    # Few pairs have a sufficient cosine, and bits are counted for these only.
    a, b = np.nonzero(cosine >= limits.lowest_cosine)
    pairs = np.stack([rows[a], others[b]], axis=1)
    match = limits.match(*hashes.distance(pairs), cosine[a, b])
    return pairs[match, 0], pairs[match, 1]


def banded_pairs(hashes: PhotoHashes, limits: DuplicateLimits) -> Pairs:
    """Find pairs of N photos with close hashes by banding; returns (P, 2) ascending rows.

    Complete up to 5 differing bits, and nearly so above, as long as no triple of bytes is shared by more than 64
    photos. In a longer run each photo is compared with the next 64 only, so that blank or tiny pictures do not make the
    pass quadratic.
    """
    count = len(hashes)
    rows = np.arange(count)
    mirrored = np.concatenate([hashes.photo, hashes.mirror])
    bandings = _Banding(mirrored, np.concatenate([rows, rows])), _Banding(hashes.face, rows)

    def pairs_of(banding: _Banding, triple: tuple[int, ...]) -> Pairs:
        return _within_limits(banding.band(triple), hashes, limits)

    with ThreadPoolExecutor(THREADS) as pool:  # sorting takes most of the time and releases the interpreter lock
        parts = list(pool.map(pairs_of, *zip(*product(bandings, combinations(range(8), 3)), strict=True)))
    return unique_pairs(np.concatenate(parts), count)


def _within_limits(candidates: Iterable[Pairs], hashes: PhotoHashes, limits: DuplicateLimits) -> Pairs:
    kept = [np.empty((0, 2), np.int64)]
    for pairs in candidates:
        photo, face = hashes.distance(pairs)
        kept.append(pairs[(photo <= limits.photo_bits) | (face <= limits.face_bits)])
    return np.concatenate(kept)


class _Banding:
    """Hashes (N,) of photos `rows` (N,), which may occur twice."""

    def __init__(self, hashes: Hashes, rows: Rows) -> None:
        self._hashes, self._rows = hashes, rows
        self._octets = np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)

    def band(self, triple: tuple[int, ...]) -> Iterator[Pairs]:
        """Yield ascending pairs of rows that share a triple of bytes and differ in few bits."""
        # Key and place in one number: the sort of numbers is faster than that of places, and no two are equal.
        key = np.zeros(len(self._hashes), np.uint64)
        for octet in triple:
            key = key << np.uint64(8) | self._octets[:, octet]
        key = np.sort(key << np.uint64(_PLACE_BITS) | np.arange(len(key), dtype=np.uint64))
        order = (key & np.uint64((1 << _PLACE_BITS) - 1)).astype(np.int64)
        sorted_key, sorted_hash = key >> np.uint64(_PLACE_BITS), self._hashes[order]
        for step in range(1, _MAX_RUN + 1):
            (at,) = np.nonzero(sorted_key[step:] == sorted_key[:-step])
            if not len(at):
                break
            at = at[hamming(sorted_hash[at], sorted_hash[at + step]) <= _MAX_BAND_BITS]
            pairs = np.sort(np.stack([self._rows[order[at]], self._rows[order[at + step]]], axis=1), axis=1)
            yield pairs[pairs[:, 0] < pairs[:, 1]]


def unique_pairs(pairs: Pairs, count: int) -> Pairs:
    """Sort (P, 2) pairs of rows below `count` and remove repeated ones."""
    code = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack([code // max(count, 1), code % max(count, 1)], axis=1)
