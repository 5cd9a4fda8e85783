"""The error-correcting code: a 32-bit ID to 4 code words of 2,048 signs, and soft values back to the ID.

48 bits, the ID and its CRC-16 (CCITT), are cut into 4 words of 12 bits. Each word selects one of the 4,096 signed rows
of the Walsh-Hadamard matrix of order 2,048: the first-order Reed-Muller code RM(1, 11). Code rate 12/2048 (1/171; with
the CRC, 32 bits in 8,192 signs, 1/256), minimum distance 1,024: any 511 wrong signs in a word are corrected. Decoding
is soft and of maximum likelihood: a fast Walsh-Hadamard transform correlates a word with all rows at once.
"""

import binascii
import math
from dataclasses import dataclass

import torch

WORDS = 4
WORD_BITS = 12
CHIPS = 1 << (WORD_BITS - 1)
"""Signs per word."""

CRC_BITS = 16


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
    bits = mark_id << CRC_BITS | binascii.crc_hqx(mark_id.to_bytes(4, "big"), 0xFFFF)
    return [bits >> WORD_BITS * (WORDS - 1 - k) & (1 << WORD_BITS) - 1 for k in range(WORDS)]


def encode(mark_id: int) -> torch.Tensor:
    """The signs of an ID, each -1 or 1: float32 (4, 2048)."""
    positions = torch.arange(CHIPS)
    rows = []
    for word in to_words(mark_id):
        parity = positions & word >> 1
        for shift in (8, 4, 2, 1):  # entry (r, p) of the matrix is (-1)^(parity of r & p)
            parity = parity ^ parity >> shift
        rows.append((1 - 2 * (parity & 1)) * (1 - 2 * (word & 1)))
    return torch.stack(rows).float()


def decode(soft: torch.Tensor) -> list[DecodedId]:
    """Decode soft values, float (N, 4, 2048), of any scale. All zero give ID 0 with score 0."""
    norms = soft.square().sum(2).sqrt().clamp_min(1e-12)
    correlations = walsh_hadamard(soft) / norms[:, :, None]
    best = correlations.abs().argmax(2)
    values = correlations.gather(2, best[:, :, None])[:, :, 0]
    words = (best << 1 | (values < 0).long()).tolist()
    decoded = []
    for row, score in zip(words, values.abs().sum(1).tolist(), strict=True):
        bits = 0
        for word in row:
            bits = bits << WORD_BITS | word
        mark_id = bits >> CRC_BITS
        decoded.append(DecodedId(mark_id, to_words(mark_id) == row, score))
    return decoded


def walsh_hadamard(values: torch.Tensor) -> torch.Tensor:
    """Product of values (..., 2**m) with the Walsh-Hadamard matrix, rows in natural order."""
    size = values.shape[-1]
    for level in range(int(math.log2(size))):
        pairs = values.reshape(*values.shape[:-1], size >> level + 1, 2, 1 << level)
        first, second = pairs.unbind(-2)
        values = torch.stack((first + second, first - second), -2).flatten(-3)
    return values


def false_positive_bound(score: float, readings: int = 1) -> float:
    """Upper bound of the probability that one of `readings` of an unmarked picture is valid and reaches `score`.

    The signs of the key are independent of the picture, so the four correlations with one choice of rows add up to a
    Rademacher sum of variance 4, which reaches s with a probability of at most exp(-s^2 / 8) (Hoeffding). 2^32 choices
    of rows have a right CRC: P <= readings 2^32 exp(-s^2 / 8). This holds for every picture, over random keys.
    """
    return min(1.0, readings * math.exp((WORDS * WORD_BITS - CRC_BITS) * math.log(2) - score * score / (2 * WORDS)))
