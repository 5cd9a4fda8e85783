"""A directory tree in, its photo files out: every file once, links followed, never an endless walk."""

import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass

from curate.errors import DecodeError
from curate.sources.entry import MAX_FILE_BYTES, Entry, encode_name, extension, is_photo


@dataclass(frozen=True, slots=True)
class Found:
    """A photo file, or a link or folder that leads to none. `path` is relative to the root, as the system names it."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    refusal: str | None = None

    def entry(self, identity: str, split: str | None = None) -> Entry:
        image_id = encode_name(os.fsencode(self.path))
        return Entry(image_id, identity, self.size, self.mtime_ns, self.path, split, refusal=self.refusal)


def photos_under(root: str, start: str, ignored: Counter[str], *, deep: bool = True) -> list[Found]:
    """The photos below `root`/`start`, in no order; with `deep` False only those directly in it.

    Hidden names are passed over. Other files are counted by extension in `ignored`. Real folders are walked before
    linked ones, so a link to a folder that is listed anyway, or that contains `root`, is what gets refused.
    """
    found: list[Found] = []
    seen = _above(root) if start not in ("", ".") else set()
    folders, links = [start], list[str]()
    while folders or links:
        if not folders:
            links.sort(reverse=True)  # the same link is refused whatever order the disk lists them in
        folder = folders.pop() if folders else links.pop()
        try:
            status = os.stat(os.path.join(root, folder))
            if (status.st_dev, status.st_ino) in seen:
                found.append(Found(folder, refusal="symlink loop: leads to a folder that is listed already"))
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(os.path.join(root, folder)) as listing:
                items = [item for item in listing if not item.name.startswith(".")]
        except OSError as error:
            found.append(Found(folder, refusal=f"folder cannot be listed: {error.strerror}"))
            continue
        for item in items:
            path = item.name if folder in ("", ".") else f"{folder}/{item.name}"
            if item.is_dir(follow_symlinks=False):
                folders += [path] if deep else []
            elif is_folder(item):
                links += [path] if deep else []
            elif is_photo(item.name):
                found.append(photo_at(root, path))
            else:
                ignored[extension(item.name)] += 1
    return found


def photo_at(root: str, path: str) -> Found:
    """Size and date of the photo `root`/`path`, or why it is none."""
    try:
        status = os.stat(os.path.join(root, path))
    except OSError as error:
        reasons = {errno.ELOOP: "symlink loop", errno.ENOENT: "broken link"}
        return Found(path, refusal=reasons.get(error.errno or 0, str(error.strerror)))
    refusal = None
    if not stat.S_ISREG(status.st_mode):
        refusal = "not a regular file"
    elif status.st_size > MAX_FILE_BYTES:
        refusal = f"larger than {MAX_FILE_BYTES >> 20} MiB"
    return Found(path, status.st_size, status.st_mtime_ns, refusal)


def read_file(root: str, path: str) -> bytes:
    """The bytes of `root`/`path`. Raises DecodeError where the system cannot give them."""
    try:
        # Without O_NONBLOCK a pipe that has taken the photo's place since it was listed would be waited for for ever.
        descriptor = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return file.read()
    except OSError as error:
        raise DecodeError(f"cannot be read: {error.strerror}") from error


def is_folder(item: os.DirEntry[str]) -> bool:
    """Whether this is a folder or a link that leads to one; False for a link that cannot be followed."""
    try:
        return item.is_dir()
    except OSError:
        return False


def _above(root: str) -> set[tuple[int, int]]:
    """(device, inode) of `root` and of every folder above it: a link to one of them is a loop."""
    seen = set()
    folder = os.path.realpath(root)
    while True:
        status = os.stat(folder)
        seen.add((status.st_dev, status.st_ino))
        if folder == os.path.dirname(folder):
            return seen
        folder = os.path.dirname(folder)
