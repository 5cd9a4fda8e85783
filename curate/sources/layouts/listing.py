"""Photos grouped by identity, held as paths: for layouts in which a folder is not an identity."""

import os
import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from curate.sources.layouts.splits import split_of_folders
from manifests.identity import NO_IDENTITY

if TYPE_CHECKING:
    from curate.sources.entry import Entry
    from curate.sources.stores.store import PhotoFile, Store

_PARTS = 1024


class Listing:
    """The paths of all photos by identity, about 60 bytes each.

    Photos without identity are divided into up to 1,024 parts by a hash of their path, so that they are measured in
    many shards; the part of a photo does not depend on the other photos.
    """

    def __init__(self, store: "Store", files: "Iterable[PhotoFile]", identity_of: Callable[[str], str]) -> None:
        self._store = store
        groups: dict[str, set[bytes]] = {}
        for file in sorted(files, key=lambda file: file.path):
            path = os.fsencode(file.path)
            identity = identity_of(file.path)
            key = f"{NO_IDENTITY}/{zlib.crc32(path) % _PARTS:04d}" if identity == NO_IDENTITY else identity
            groups.setdefault(key, set()).add(path)
        self._paths = {key: b"\0".join(sorted(paths)) for key, paths in groups.items()}

    def identities(self) -> list[str]:
        return list(self._paths)

    def entries(self, key: str) -> "list[Entry]":
        """List the photos of an identity, or of one part of those without identity, with their splits."""
        paths = self._paths.get(key)
        identity = NO_IDENTITY if is_no_identity(key) else key
        return [
            file.entry(identity, split_of_folders(path.split("/")[:-1]))
            for path in ([] if paths is None else map(os.fsdecode, paths.split(b"\0")))
            for file in self._store.named(path)
        ]


def is_no_identity(key: str) -> bool:
    """Whether a key of `Layout.identities` stands for photos without identity."""
    return key == NO_IDENTITY or key.startswith(f"{NO_IDENTITY}/")
