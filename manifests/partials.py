"""Unfinished files and folders, `.NAME.partial-HEX`: their names, and the removal of those whose writer has ended."""

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
_PARTIAL = re.compile(r"^\..+\.partial-[0-9a-f]+$")


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is a lock or unfinished, and no result."""
    return name == LOCK or _PARTIAL.match(name) is not None


def partial_of(path: Path) -> Path:
    """Return a new name for the unfinished file or folder that becomes `path`."""
    return path.with_name(f".{temporary_stem(path.name)}.partial-{secrets.token_hex(4)}")


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
