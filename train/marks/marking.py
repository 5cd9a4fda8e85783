"""Settings of the marks of one run, and the ID that they share."""

import secrets
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from train.errors import MarkError

Language = Literal["both", "zh", "en", "none"]
Corner = Literal["bottom-right", "bottom-left", "top-right", "top-left"]

ID_BITS = 32


@dataclass(frozen=True)
class Marking:
    """Settings of all marks. The machine-readable marks cannot be turned off.

    Attributes:
        mark_id: Unsigned, 32 bits; the same in every mark.
        label: Language of the visible label; "none" draws no label, which the metadata then records.
        corner: Where the visible label is drawn.
        producer: Who made the content, for the metadata; printable ASCII, not empty.
        certificate: PEM chain that signs the content credentials; None for a certificate of this machine.
        key: PEM private key of `certificate`; given together with it.
        tsa: URL of a time stamp authority (RFC 3161) for the content credentials; None requests no time stamp.

    Raises MarkError for an invalid producer or URL, or a certificate without its key; ValueError for an invalid ID.
    """

    mark_id: int
    label: Language = "both"
    corner: Corner = "bottom-right"
    producer: str = "swapset"
    certificate: Path | None = None
    key: Path | None = None
    tsa: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.mark_id < 1 << ID_BITS:
            raise ValueError(f"mark_id={self.mark_id}: must be an unsigned number of {ID_BITS} bits")
        if not self.producer or not (self.producer.isascii() and self.producer.isprintable()):
            raise MarkError(f"--producer {self.producer!r}: must be printable ASCII, as the metadata standard requires")
        if (self.certificate is None) != (self.key is None):
            given, missing = ("--certificate", "--key") if self.key is None else ("--key", "--certificate")
            raise MarkError(f"{given} is given without {missing}: give both, or neither")
        if self.tsa is not None and not self.tsa.startswith(("http://", "https://")):
            raise MarkError(f"--tsa {self.tsa}: must be the http(s) URL of a time stamp authority")


def new_mark_id() -> int:
    """A random ID, 32 bits."""
    return secrets.randbits(ID_BITS)


def mark_id_of(*parts: str) -> int:
    """A 32-bit ID derived from these strings, in this order, by hashing."""
    digest = blake2b(digest_size=ID_BITS // 8)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(8, "big") + data)
    return int.from_bytes(digest.digest(), "big")
