"""Hashes of files, to show that an operation changed none."""

import hashlib
from pathlib import Path


def file_hashes(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
