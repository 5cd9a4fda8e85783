"""The error-correcting code: a 32-bit ID to 4 code words of 2,048 signs, and soft values back to the ID.

48 bits, the ID and its CRC-16 (CCITT), are cut into 4 words of 12 bits. Each word selects one of the 4,096 signed rows
of the Walsh-Hadamard matrix of order 2,048: the first-order Reed-Muller code RM(1, 11). Code rate 12/2048 (1/171; with
the CRC, 32 bits in 8,192 signs, 1/256), minimum distance 1,024: any 511 wrong signs in a word are corrected. Decoding
is soft: a fast Walsh-Hadamard transform correlates a word with all rows at once, and of the combinations of each word's
likeliest rows the likeliest with a right CRC is taken.
"""

import binascii
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

WORDS = 4
WORD_BITS = 12
CHIPS = 1 << (WORD_BITS - 1)
"""Signs per word."""

CRC_BITS = 16
CANDIDATES = 12
"""Rows of each word that are combined with those of the others."""


@dataclass(frozen=True)
class DecodedId:
    """The ID with the highest likelihood.

    Attributes:
        mark_id: the ID, unsigned, 32 bits.
        valid: its CRC is right.
        score: sum over the words of the correlation of the selected row with the soft values, divided by the norm of
            those values. Without a mark each term is the largest of 2,048 absolute standard normal values (about 3.6).
    """

    mark_id: int
    valid: bool
    score: float


def to_words(mark_id: int) -> list[int]:
    """The 4 words, 12 bits each, of an ID and its CRC."""
    bits = mark_id << CRC_BITS | _crc(mark_id)
    return [bits >> WORD_BITS * (WORDS - 1 - k) & (1 << WORD_BITS) - 1 for k in range(WORDS)]


def encode(mark_id: int) -> Floats:
    """The signs of an ID, each -1 or 1: float32 (4, 2048)."""
    positions = np.arange(CHIPS)
    rows = []
    for word in to_words(mark_id):
        parity = positions & word >> 1
        for shift in (8, 4, 2, 1):  # entry (r, p) of the matrix is (-1)^(parity of r & p)
            parity = parity ^ parity >> shift
        rows.append((1 - 2 * (parity & 1)) * (1 - 2 * (word & 1)))
    return np.stack(rows).astype(np.float32)


def decode(soft: Floats) -> DecodedId:
    """Decode soft values, float32 (4, 2048), of any scale. All zero give ID 0 with score 0.

    Where no combination of the likeliest rows has a right CRC, the likeliest combination is returned as not valid.
    """
    norms = np.sqrt(np.square(soft).sum(1, keepdims=True))
    correlations = walsh_hadamard(soft) / np.maximum(norms, 1e-12)
    rows = np.argpartition(-np.abs(correlations), CANDIDATES, 1)[:, :CANDIDATES]
    values = np.take_along_axis(correlations, rows, 1)
    order = np.argsort(-np.abs(values), 1, kind="stable")
    rows, values = np.take_along_axis(rows, order, 1), np.take_along_axis(values, order, 1)
    words = rows << 1 | (values < 0)
    strengths = np.abs(values)
    # The CRC is affine: the syndromes of the four words add up to the CRC of zero where the CRC is right.
    syndromes = _syndromes()[np.arange(WORDS)[:, None], words]
    pairs = [syndromes[k][:, None] ^ syndromes[k + 1] for k in (0, 2)]
    sums = [strengths[k][:, None] + strengths[k + 1] for k in (0, 2)]
    right = pairs[0].ravel()[:, None] ^ pairs[1].ravel() == _crc(0)
    scores = np.where(right, sums[0].ravel()[:, None] + sums[1].ravel(), -1.0)
    best = int(scores.argmax())
    first, second = divmod(best, CANDIDATES**2)
    chosen = [*divmod(first, CANDIDATES), *divmod(second, CANDIDATES)] if right.flat[best] else [0] * WORDS
    bits = 0
    for word, column in zip(words, chosen, strict=True):
        bits = bits << WORD_BITS | int(word[column])
    score = float(sum(strength[column] for strength, column in zip(strengths, chosen, strict=True)))
    return DecodedId(bits >> CRC_BITS, bool(right.flat[best]), score)


def walsh_hadamard(values: Floats) -> Floats:
    """Product of values (..., 2**m) with the Walsh-Hadamard matrix, rows in natural order."""
    size = values.shape[-1]
    for level in range(int(math.log2(size))):
        pairs = values.reshape(*values.shape[:-1], size >> level + 1, 2, 1 << level)
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        values = np.stack((first + second, first - second), -2).reshape(values.shape)
    return values


def false_positive_bound(score: float, readings: int = 1) -> float:
    """Upper bound of the probability that one of `readings` of an unmarked picture is valid and reaches `score`.

    The signs of the key are independent of the picture, so the four correlations with one choice of rows add up to a
    Rademacher sum of variance 4, which reaches s with a probability of at most exp(-s^2 / 8) (Hoeffding). 2^32 choices
    of rows have a right CRC: P <= readings 2^32 exp(-s^2 / 8). This holds for every picture, over random keys, and
    however many candidates are combined.
    """
    return min(1.0, readings * math.exp((WORDS * WORD_BITS - CRC_BITS) * math.log(2) - score * score / (2 * WORDS)))


def _crc(mark_id: int) -> int:
    return binascii.crc_hqx(mark_id.to_bytes(4, "big"), 0xFFFF)


@lru_cache(maxsize=1)
def _syndromes() -> npt.NDArray[np.int64]:
    """What each value of each word adds (exclusive or) to the CRC of the ID and the CRC read: int64 (4, 4096)."""
    table = np.zeros((WORDS, 1 << WORD_BITS), np.int64)
    for position in range(WORDS * WORD_BITS):
        bits = 1 << position
        syndrome = (_crc(bits >> CRC_BITS) ^ _crc(0)) ^ bits & (1 << CRC_BITS) - 1
        word, bit = WORDS - 1 - position // WORD_BITS, position % WORD_BITS
        selected = np.arange(1 << WORD_BITS) >> bit & 1 == 1
        table[word, selected] ^= syndrome
    return table
