"""A 32-bit ID -> 4 code words of 2,048 signs, and soft values back to the ID.

48 bits: the ID and its CRC-16 (CCITT). They are cut into 4 words of 12 bits; each word is one of the 4,096 signed rows
of the Walsh-Hadamard matrix of order 2,048: the first-order Reed-Muller code RM(1, 11). Code rate 12/2048 (1/171; with
the CRC, 32 bits in 8,192 signs, 1/256), minimum distance 1,024: 511 wrong signs of a word's 2,048 are always mended.
All rows are compared at once by a fast Walsh-Hadamard transform, so decoding is soft and of maximum likelihood.
"""

import binascii
import math
from dataclasses import dataclass

import torch

WORDS = 4
WORD_BITS = 12
CHIPS = 1 << (WORD_BITS - 1)
"""Signs of a word."""

CRC_BITS = 16


@dataclass(frozen=True)
class Decoded:
    """The ID that fits best, whether its CRC agrees, and how well it fits.

    `score`: the correlations of the four chosen rows with the soft values of their words, each divided by the norm of
    those values, added up. Without a mark each is the largest of 2,048 standard normal values (about 3.6).
    """

    mark_id: int
    checked: bool
    score: float


def words_of(mark_id: int) -> list[int]:
    """The 4 words, 12 bits each, of an ID and its CRC."""
    bits = mark_id << CRC_BITS | binascii.crc_hqx(mark_id.to_bytes(4, "big"), 0xFFFF)
    return [bits >> WORD_BITS * (WORDS - 1 - k) & (1 << WORD_BITS) - 1 for k in range(WORDS)]


def encode(mark_id: int) -> torch.Tensor:
    """An ID, 32 bits -> signs, float32 (4, 2048), each -1 or 1."""
    positions = torch.arange(CHIPS)
    rows = []
    for word in words_of(mark_id):
        parity = positions & word >> 1
        for shift in (8, 4, 2, 1):  # row r of the matrix, at p: the parity of the bits that r and p share
            parity = parity ^ parity >> shift
        rows.append((1 - 2 * (parity & 1)) * (1 - 2 * (word & 1)))
    return torch.stack(rows).float()


def decode(soft: torch.Tensor) -> list[Decoded]:
    """Soft values, float (N, 4, 2048), of any scale -> for each what it says. All zero: ID of zeros, score 0."""
    norms = soft.square().sum(2).sqrt().clamp_min(1e-12)
    fits = walsh_hadamard(soft) / norms[:, :, None]
    best = fits.abs().argmax(2)
    values = fits.gather(2, best[:, :, None])[:, :, 0]
    words = (best << 1 | (values < 0).long()).tolist()
    found = []
    for row, score in zip(words, values.abs().sum(1).tolist(), strict=True):
        bits = 0
        for word in row:
            bits = bits << WORD_BITS | word
        mark_id = bits >> CRC_BITS
        found.append(Decoded(mark_id, words_of(mark_id) == row, score))
    return found


def walsh_hadamard(values: torch.Tensor) -> torch.Tensor:
    """(..., 2**m) -> its product with the Walsh-Hadamard matrix, rows in natural order."""
    size = values.shape[-1]
    for level in range(int(math.log2(size))):
        pairs = values.reshape(*values.shape[:-1], size >> level + 1, 2, 1 << level)
        first, second = pairs.unbind(-2)
        values = torch.stack((first + second, first - second), -2).flatten(-3)
    return values


def false_positive_bound(score: float, tries: int = 1) -> float:
    """Upper bound of the chance that an unmarked picture gives, in one of `tries` readings, a checked ID with `score`.

    The key's signs are independent of the picture, so the four correlations with one choice of rows add up to a
    Rademacher sum of variance 4, which reaches s with a chance of at most exp(-s^2 / 8) (Hoeffding). 2^32 choices of
    rows carry a right CRC: P <= tries 2^32 exp(-s^2 / 8). It holds for every picture, over keys drawn at random.
    """
    return min(1.0, tries * math.exp((WORDS * WORD_BITS - CRC_BITS) * math.log(2) - score * score / (2 * WORDS)))
