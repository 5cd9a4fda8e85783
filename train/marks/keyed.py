"""Random numbers derived from a key.

They are hashes computed here, because a key must give the same numbers in every version of every library.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def random_bits(key: bytes, purpose: str, count: int) -> Integers:
    """`count` unsigned 32-bit integers, derived from the key by hashing a counter."""
    blocks = (blake2b(f"{purpose} {k}".encode(), key=key).digest() for k in range(-(-count // 16)))
    return np.frombuffer(b"".join(blocks), "<u4")[:count].astype(np.int64)


def permutation(key: bytes, purpose: str, count: int) -> Integers:
    """A permutation of 0..count-1, derived from the key."""
    return np.argsort(random_bits(key, purpose, count), kind="stable")


def signs(key: bytes, purpose: str, count: int) -> npt.NDArray[np.float32]:
    """`count` independent signs, each -1 or 1, derived from the key."""
    return np.asarray(1.0 - 2.0 * (random_bits(key, purpose, count) & 1), np.float32)


def normal(key: bytes, purpose: str, count: int) -> npt.NDArray[np.float32]:
    """`count` independent standard normal numbers, derived from the key (Box and Muller 1958)."""
    first, second = (random_bits(key, purpose, 2 * count) + 0.5).reshape(2, count) / 2**32
    return np.asarray(np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second), np.float32)
