"""Atomic writing of files and folders, and a lock for output directories.

What is promised: a file or folder has its final name only when it is whole. After a kill at any moment the name holds
what it held before, or the new content. With `sync`, the default, this also holds after a loss of power, because the
content reaches the disk before the name does. `sync=False` is for thousands of small files, where waiting for the disk
would take longer than computing them: their writer calls `sync_file_system` before it writes the record of them, and
checks the content of each file when it continues.

An unfinished file is called `.NAME.partial-HEX` and is locked while its writer lives; `OutputLock` removes the others.
"""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from manifests.errors import BusyError, OutputError
from manifests.locations import ObjectPath, as_path
from manifests.partials import (
    LOCK,
    is_file,
    make_folders,
    new_partial,
    new_partial_folder,
    partial_of,
    remove_partials,
    remove_partials_of,
)
from manifests.upload import uploaded, uploaded_folder

_FULL = {
    errno.ENOSPC: "the disk is full: free some space and start again; what is finished is kept",
    errno.EDQUOT: "the disk quota is used up: free some space and start again; what is finished is kept",
    errno.EFBIG: "the file grew too large for this file system: use more buckets or another --out",
    errno.EROFS: "the file system is read-only: choose another --out",
}
_UNWRITABLE = _FULL | {
    errno.EIO: "the disk reports an error: check it, or choose another --out",
    errno.EACCES: "permission denied: choose another --out, or make it writable",
    errno.EPERM: "not permitted: choose another --out, or make it writable",
    errno.ENOTDIR: "a part of the path is a file, not a directory: choose another --out",
    errno.EEXIST: "a file is in the way of the directory: choose another --out",
    errno.EISDIR: "a directory has the name of the file: choose another name",
    errno.ENAMETOOLONG: "the name is too long for the file system: choose a shorter one",
    errno.ENOLCK: "the file system has no locks: mount it with locks, or choose another --out",
    errno.ENOSYS: "the file system has no locks: mount it with locks, or choose another --out",
    errno.EOPNOTSUPP: "the file system has no locks: mount it with locks, or choose another --out",
}
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100


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
def atomic(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """Context manager: yield the path of an empty file beside `path`; on exit it is renamed to `path`.

    After an error or a kill, `path` is unchanged. Missing parent directories are created. An object is written into a
    temporary file of this machine first.

    Args:
        path: the final name.
        sync: whether file, name and new directories are on the disk when the block ends.

    Raises OutputError where the disk is full or read-only, or permission is denied.
    """
    path = as_path(path)
    if isinstance(path, ObjectPath):
        with uploaded(path) as partial:
            yield partial
        return
    with writable(path):
        partial, descriptor, created = new_partial(path)
    try:
        with _full_disk(path):
            yield partial
        with writable(path):
            if sync:
                _sync(partial)
            _rename(partial, path)
            if sync:
                for folder in (path.parent, *created):
                    _sync(folder)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = True) -> Iterator[Path]:
    """Context manager: yield an empty folder beside `path`; on exit it takes the place of `path`, an earlier folder.
    Without `replace`, that one stays, and the new one is discarded.

    The two are exchanged in one step where the file system can (Linux: ext4, XFS, Btrfs, tmpfs); elsewhere a kill
    between two renames leaves no folder called `path`, and never a mixed one. All files are on the disk before.
    Unfinished folders of ended processes that would have become `path` are removed.

    Raises OutputError as `atomic`.
    """
    path = as_path(path)
    if isinstance(path, ObjectPath):
        with uploaded_folder(path) as partial:
            yield partial
        return
    remove_partials_of(path)
    with writable(path):
        partial, descriptor = new_partial_folder(path)
    try:
        with _full_disk(path):
            yield partial
        with writable(path):
            sync_file_system(partial)
            if replace:
                _take_place(partial, path)
            elif not path.is_dir():
                _rename(partial, path)
            _sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(descriptor)


def require_absent(path: Path) -> None:
    """Raise OutputError where `path` exists, for files that are never replaced."""
    if path.exists():
        raise OutputError(f"{path} exists already: remove it, or choose another --out")


def require_replaceable(folder: Path, marker: str, holds: str) -> None:
    """Raise OutputError unless `folder` is absent, empty, or an earlier result, which has the file `marker`.

    `holds` names such a result in the message.
    """
    with writable(folder):
        if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / marker).exists())):
            raise OutputError(f"{folder} holds something else than {holds}: choose another --out")


def remove_results(*paths: Path) -> None:
    """Remove files of an earlier run, in this order, before the first of them is replaced.

    For files that belong together: after a kill, none of them is beside one of another run.
    """
    for path in paths:
        with writable(path):
            path.unlink(missing_ok=True)


def sync_file_system(path: Path) -> None:
    """Wait until everything that was written to the file system of `path` is on the disk."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):  # not Linux
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with writable(path):
            if libc.syncfs(descriptor):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


class OutputLock:
    """Context manager: exclusive use of the output directory `root`, which is created where missing.

    Unfinished files of ended runs are removed on entry. The lock is an flock on `root/.lock`, which the kernel releases
    when the process ends; the file is removed on exit, and `root` too if it was created here and is empty.

    An object store has no locks: two users do no harm as long as they write the same.

    shared: other shared users may use `root` at the same time. For writers of which two do no harm; on a file system
    without locks, unfinished files are then left there.

    Raises BusyError with the process id of the other run, OutputError where `root` cannot be written.
    """

    def __init__(self, root: str | os.PathLike[str], *, shared: bool = False) -> None:
        self.path = as_path(root) / LOCK
        self._operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._descriptor = -1
        self._created: list[Path] = []

    def __enter__(self) -> "OutputLock":
        if isinstance(self.path, ObjectPath):
            return self
        with writable(self.path.parent):
            while not self._acquire():
                pass
            try:
                # Of several shared users the first one is named.
                if self._operation == fcntl.LOCK_EX or not os.fstat(self._descriptor).st_size:
                    os.ftruncate(self._descriptor, 0)
                    os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
                remove_partials(self.path.parent)
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def _acquire(self) -> bool:
        """Lock the file; return whether it still has its name, which the run before removes when it ends."""
        self._created += make_folders(self.path.parent)
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # the run before removed the empty folder
            return False
        try:
            self._lock(descriptor)
            if is_file(descriptor, self.path):
                self._descriptor, descriptor = descriptor, -1
                return True
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise BusyError(
                f"{self.path.parent} is in use by another run (process {holder}): wait for it, or use another --out",
                holder,
            ) from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return False

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, self._operation | fcntl.LOCK_NB)
        except OSError as error:
            if self._operation == fcntl.LOCK_EX or error.errno not in _NO_LOCKS:
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor < 0:
            return
        # Removed before it is unlocked: a run that opened the old file notices in `_acquire`.
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while others share it
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        with suppress(OSError):  # not empty
            for folder in self._created:
                folder.rmdir()


@contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    """Like `writable`, for a block that may also read: an error of reading a source must pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OutputError(f"cannot write {path}: {_FULL[error.errno]}") from error


def _take_place(partial: Path, path: Path) -> None:
    """Rename the folder `partial` to `path`; an earlier folder of that name gets the name of `partial`, or is gone."""
    if not path.is_dir():
        _rename(partial, path)
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "renameat2") and not libc.renameat2(
        _AT_FDCWD, os.fsencode(partial), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE
    ):
        return
    earlier = partial_of(path)
    _rename(path, earlier)
    try:
        _rename(partial, path)
    except OSError:
        _rename(earlier, path)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _rename(source: Path, target: Path) -> None:
    os.replace(source, target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
