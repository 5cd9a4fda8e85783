"""The photo files of a directory tree: each file once, links followed, loops refused."""

import errno
import os
import stat
from collections import Counter

from curate.errors import DecodeError
from curate.sources.entry import MAX_FILE_BYTES, extension, is_photo
from curate.sources.stores.store import PhotoFile
from curate.sources.system_files import system_kind


def photos_under(
    root: str, start: str, ignored: Counter[str], *, deep: bool = True, system_folders: set[str] | None = None
) -> list[PhotoFile]:
    """List the photos below `root`/`start`, in no order; with `deep` False only those directly in it.

    System files and folders are left out (see `system_kind`). Other files are counted by extension in `ignored`, system
    files by kind; the paths of system folders are added to `system_folders`. Real folders are listed before linked
    ones, so that a link to a folder that is listed anyway, or that contains `root`, is the one that is refused.
    """
    photos: list[PhotoFile] = []
    listed = _parents(root) if start else set()
    folders, links = [start], list[str]()
    while folders or links:
        if not folders:
            links.sort(reverse=True)  # the same link is refused in whatever order the disk lists them
        folder = folders.pop() if folders else links.pop()
        try:
            status = os.stat(os.path.join(root, folder))
            if (status.st_dev, status.st_ino) in listed:
                photos.append(
                    PhotoFile(folder, folder, refusal="symlink loop: leads to a folder that is listed already")
                )
                continue
            listed.add((status.st_dev, status.st_ino))
            with os.scandir(os.path.join(root, folder)) as listing:
                items = list(listing)
        except OSError as error:
            photos.append(PhotoFile(folder, folder, refusal=f"folder cannot be listed: {error.strerror}"))
            continue
        for item in items:
            path = f"{folder}/{item.name}" if folder else item.name
            kind = system_kind(item.name, folder=is_folder(item))
            if kind is not None:
                if not is_folder(item):
                    ignored[kind] += 1
                elif system_folders is not None:
                    system_folders.add(path)
            elif item.is_dir(follow_symlinks=False):
                folders += [path] if deep else []
            elif is_folder(item):
                links += [path] if deep else []
            elif is_photo(item.name):
                photos.append(photo_at(root, path))
            else:
                ignored[extension(item.name)] += 1
    return photos


def photo_at(root: str, path: str) -> PhotoFile:
    """Return the photo `root`/`path` with its size and time, or with the reason why it cannot be read."""
    try:
        status = os.stat(os.path.join(root, path))
    except OSError as error:
        reasons = {errno.ELOOP: "symlink loop", errno.ENOENT: "broken link"}
        return PhotoFile(path, path, refusal=reasons.get(error.errno or 0, str(error.strerror)))
    refusal = None
    if not stat.S_ISREG(status.st_mode):
        refusal = "not a regular file"
    elif status.st_size > MAX_FILE_BYTES:
        refusal = f"larger than {MAX_FILE_BYTES >> 20} MiB"
    return PhotoFile(path, path, status.st_size, status.st_mtime_ns, refusal)


def read_file(root: str, path: str) -> bytes:
    """Read `root`/`path`. Raises DecodeError with the system's reason."""
    try:
        # O_NONBLOCK: opening a pipe that has replaced the photo since it was listed would block.
        descriptor = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return file.read()
    except OSError as error:
        raise DecodeError(f"cannot be read: {error.strerror}") from error


def is_folder(item: os.DirEntry[str]) -> bool:
    """Whether this is a folder or a link to one; False for a link that cannot be followed."""
    try:
        return item.is_dir()
    except OSError:
        return False


def count_files(root: str, folder: str) -> int:
    """Count the files below `root`/`folder`; links to folders are not followed."""
    return sum(len(files) for _, _, files in os.walk(os.path.join(root, folder)))


def _parents(root: str) -> set[tuple[int, int]]:
    """(device, inode) of `root` and of every folder above it: a link to one of them is a loop."""
    parents = set()
    folder = os.path.realpath(root)
    while True:
        status = os.stat(folder)
        parents.add((status.st_dev, status.st_ino))
        if folder == os.path.dirname(folder):
            return parents
        folder = os.path.dirname(folder)
