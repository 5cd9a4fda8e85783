"""Unfinished files and folders, `.NAME.partial-HEX`: their names, their creation, and their removal after the writer's
end.
"""

import fcntl
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from manifests.file_names import temporary_stem
from manifests.locations import ObjectPath

LOCK = ".lock"
PASSES = ".passes"
"""Folder of a dataset with what a run has finished of its work; the next run continues with it and removes it."""

_PARTIAL = re.compile(r"^\..+\.partial-[0-9a-f]+$")


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is a lock or belongs to an unfinished run, and is no result."""
    return name in (LOCK, PASSES) or _PARTIAL.match(name) is not None


def partial_of(path: Path) -> Path:
    """Return a new name for the unfinished file or folder that becomes `path`."""
    return path.with_name(f".{temporary_stem(path.name)}.partial-{secrets.token_hex(4)}")


def new_partial(path: Path) -> tuple[Path, int, list[Path]]:
    """Create and lock an unfinished file: its path and descriptor, and the parents of the folders that were created."""
    parents: list[Path] = []
    while True:
        partial = partial_of(path)
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            parents += [folder.parent for folder in make_folders(path.parent)]
            continue
        if _lock_partial(descriptor, partial):
            return partial, descriptor, parents
        os.close(descriptor)


def new_partial_folder(path: Path) -> tuple[Path, int]:
    """Create and lock an unfinished folder: its path and descriptor."""
    while True:
        partial = partial_of(path)
        partial.mkdir(parents=True)
        try:
            descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # another run removed it before it was locked
            continue
        if _lock_partial(descriptor, partial):
            return partial, descriptor
        os.close(descriptor)


def _lock_partial(descriptor: int, partial: Path) -> bool:
    """Lock an unfinished file or folder; return False where another run has removed it before, or is removing it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: OutputLock refuses to begin, and a folder is left to who made it
        pass
    return is_file(descriptor, partial)


def make_folders(folder: Path) -> list[Path]:
    """Create a folder and its missing parents; return those that were created, the innermost first."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return missing


def is_file(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one called `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def remove_partials(root: str | os.PathLike[str]) -> int:
    """Remove the unfinished files and folders of ended processes below `root`, or `root` itself; return their number.

    Those that a process is writing are left alone. Links are not followed.
    """
    count = 0
    for folder, folders, names in os.walk(root):
        partials = [name for name in folders if _PARTIAL.match(name)]
        folders[:] = [name for name in folders if name not in partials]
        for name in (*partials, *filter(_PARTIAL.match, names)):
            count += _remove_unless_locked(os.path.join(folder, name))
    return count


def has_partial(path: str | os.PathLike[str]) -> bool:
    """Whether a process that was killed, or is at work, has an unfinished file that would become `path`."""
    if isinstance(path, ObjectPath):  # a part of an object is never visible
        return False
    path = Path(path)
    prefix = f".{temporary_stem(path.name)}.partial-"
    try:
        return any(name.startswith(prefix) and _PARTIAL.match(name) for name in os.listdir(path.parent))
    except (FileNotFoundError, NotADirectoryError):
        return False


def remove_partials_of(path: str | os.PathLike[str]) -> None:
    """Remove the unfinished files of ended processes that would have become `path`. For outputs of a single file."""
    path = Path(path)
    prefix = f".{temporary_stem(path.name)}.partial-"
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path.parent) as entries:
        for name in [entry.name for entry in entries if entry.name.startswith(prefix) and _PARTIAL.match(entry.name)]:
            _remove_unless_locked(os.path.join(path.parent, name))


def _remove_unless_locked(path: str) -> bool:
    """Remove an unfinished file or folder unless a process holds its lock; return whether it was removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # gone, or not readable
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
