"""Identities: the name of none, and the people that are held out. Imports nothing heavy."""

import hashlib

NO_IDENTITY = "."
"""`identity` of a photo that its source assigns to no person."""


def uniform(name: str, purpose: bytes) -> float:
    """Hash a name to a number in [0, 1), the same on every machine, another one for another purpose."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "little") / 2**64


def is_held_out(identity: str, share: float) -> bool:
    """Whether a person is among the about `share` of all people who are held out; a larger share adds people."""
    return uniform(identity, b"held out") < share
