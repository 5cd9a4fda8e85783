"""Errors of the system while a file is read: described as what they are, never as damage."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from manifests.errors import DatasetError, SwapsetError

_PROBLEMS = {
    errno.ENOENT: "it does not exist",
    errno.EACCES: "permission denied: make it readable for this user",
    errno.EPERM: "not permitted: make it readable for this user",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.ELOOP: "its symbolic links form a loop",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EIO: "the disk reports a read error: check the disk, then run the command again",
    errno.ESTALE: "the network share was disconnected: mount it, then run the command again",
    errno.ETIMEDOUT: "the network share does not answer: run the command again when it does",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOMEM: "memory ran out",
}


def problem(error: OSError) -> str:
    """Describe why a file could not be read, with the next step where there is one."""
    return _PROBLEMS.get(error.errno or 0) or _sentence(error.strerror or str(error) or type(error).__name__)


def _sentence(text: str) -> str:
    """Begin a text with a small letter; codes and names in it stay as they are."""
    return text[:1].lower() + text[1:]


@contextmanager
def readable(path: str | os.PathLike[str], kind: type[SwapsetError] = DatasetError) -> Iterator[None]:
    """Convert errors of the system while `path` is read to an error of `kind` that describes them."""
    try:
        yield
    except OSError as error:
        raise kind(f"cannot read {os.fspath(path)}: {problem(error)}") from error
