"""`open_file`: a file or an object, opened to be read at any place."""

import os
from pathlib import Path
from typing import Protocol

from manifests.locations import ObjectPath


class OpenFile(Protocol):
    """Bytes that are read at any place, by several threads at once. Closed with its last reference, or by `close`."""

    @property
    def size(self) -> int:
        """Bytes of the file as it is now."""

    def pread(self, size: int, offset: int) -> bytes:
        """Read `size` bytes at `offset`, fewer at the end of the file. Raises OSError."""

    def close(self) -> None:
        """Release the file."""


class LocalFile:
    """An open file of this machine."""

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        # Taken before it is closed: a signal's exception in between must not close another file later.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def open_file(path: Path) -> OpenFile:
    """Open a file or an object. Raises OSError."""
    if isinstance(path, ObjectPath):
        from manifests.object_storage import ObjectFile

        return ObjectFile(path)
    return LocalFile(path)
