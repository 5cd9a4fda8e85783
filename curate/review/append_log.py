"""A file of lines that only grows: a line is on the disk before `append` returns, and a kill leaves whole lines."""

import errno
import os
from pathlib import Path

from manifests.input import readable
from manifests.output import writable


class AppendLog:
    """Lines of bytes without line breaks, in one file with one writer.

    Attributes:
        path: of the file, which is created with its folder.
        lines: those that the file had when it was opened; what a kill had cut off at its end is removed.

    Raises OutputError where the file cannot be written, DatasetError where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writable(path):
            path.parent.mkdir(exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        with readable(path):
            data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with writable(path):
                os.ftruncate(self._file, whole)
        self.lines = data[:whole].split(b"\n")[:-1]

    def append(self, line: bytes, *, sync: bool = True) -> None:
        """Add a line. Raises OutputError where it cannot be written; the file is then as before."""
        data = line + b"\n"
        with writable(self.path):
            size = os.fstat(self._file).st_size
            try:
                if os.write(self._file, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if sync:
                    os.fdatasync(self._file)
            except OSError:
                # What is not acknowledged is not in the file either.
                os.ftruncate(self._file, size)
                raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
