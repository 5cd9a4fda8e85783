"""Atomic writing of files, and a lock for output directories."""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from manifests.errors import BusyError, OutputError
from manifests.file_names import temporary_stem

_PARTIAL = re.compile(r"^\..+\.partial-\d+$")
_UNWRITABLE = {
    errno.ENOSPC: "the disk is full: free some space and start again; what is finished is kept",
    errno.EDQUOT: "the disk quota is used up: free some space and start again; what is finished is kept",
    errno.EFBIG: "the file grew too large for this file system: use more buckets or another --out",
    errno.EROFS: "the file system is read-only: choose another --out",
    errno.EACCES: "permission denied: choose another --out, or make it writable",
    errno.EPERM: "not permitted: choose another --out, or make it writable",
    errno.ENOTDIR: "a part of the path is a file, not a directory: choose another --out",
    errno.EEXIST: "a file is in the way of the directory: choose another --out",
    errno.EISDIR: "a directory is in the way of the file: remove it or choose another --out",
}


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Convert errors of writing below `path` to an OutputError that names the remedy; other errors pass."""
    try:
        yield
    except OSError as error:
        advice = _UNWRITABLE.get(error.errno or 0)
        if advice is None:
            raise
        raise OutputError(f"cannot write {path}: {advice}") from error


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Context manager: yield a temporary path beside `path`; on exit, sync it to disk and rename it to `path`.

    After an error or a kill, `path` is unchanged. The temporary file is removed after an error, and by
    `remove_partials` after a kill. Missing parent directories are created.

    Raises OutputError where the disk is full or read-only, or permission is denied.
    """
    path = Path(path)
    partial = path.with_name(f".{temporary_stem(path.name)}.partial-{os.getpid()}")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    try:
        # An error of reading a source inside the block must pass, hence the shorter list.
        try:
            yield partial
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
                raise OutputError(f"cannot write {path}: {_UNWRITABLE[error.errno]}") from error
            raise
        with writable(path):
            _sync(partial)
            partial.replace(path)
            _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(root: str | os.PathLike[str]) -> int:
    """Remove the temporary files of killed runs below `root`; return their number. Acquire the lock first."""
    partials = [path for path in Path(root).rglob(".*.partial-*") if _PARTIAL.match(path.name) and path.is_file()]
    for path in partials:
        path.unlink(missing_ok=True)
    return len(partials)


class OutputLock:
    """Context manager: exclusive use of the output directory `root`, which is created where missing.

    The lock is an flock on `root/.lock`, which the kernel releases when the process ends.
    Raises BusyError with the process id of the other run, OutputError where `root` cannot be written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.path = Path(root) / ".lock"
        self._descriptor = -1

    def __enter__(self) -> "OutputLock":
        with writable(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise BusyError(
                f"{self.path.parent} is in use by another run (process {holder}): wait for it, or use another --out"
            ) from error
        with writable(self.path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file is not removed: otherwise two later runs could lock two different files of this name.
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
