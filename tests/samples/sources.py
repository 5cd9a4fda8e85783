"""Small photo collections for tests: files whose content is their own name. Sources never decode."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

from curate.sources import Entry, Source


def make_directory(root: Path, *names: str) -> Path:
    """Write one file per name below `root`."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
    return root


def make_tar(path: Path, *names: str) -> Path:
    """Write a tar with one member per name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(os.fsencode(name))
            archive.addfile(member, io.BytesIO(os.fsencode(name)))
    return path


MAKE: dict[str, Callable[..., Path]] = {
    "directory": make_directory,
    "tar": lambda path, *names: make_tar(path.with_suffix(".tar"), *names),
}
"""Store -> how to make one that holds files of these names."""


def listed(source: Source) -> dict[str, list[str]]:
    """List a source as identity -> image_ids."""
    return {identity: [entry.image_id for entry in source.entries(identity)] for identity in source.identities()}


def only(source: Source, identity: str) -> Entry:
    """Return the one photo of an identity."""
    (entry,) = source.entries(identity)
    return entry
