"""The interface of a store, and the files that it lists."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from curate.counts import counted
from curate.errors import SourceError
from curate.sources.entry import Entry, encode_name


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A file with a photo's extension, or a link, folder or archive member that cannot be read.

    Attributes:
        path: Relative to the store's root, as the file system or the archive names it.
        location: Where the store finds the bytes.
        size: Bytes.
        mtime_ns: Time of the last modification.
        refusal: Why it cannot be read, else None.
        copy: 0, or the number of an archive member of which a later one has the same path.
        split: Split that the store knows without the path, else None.
    """

    path: str
    location: str | int
    size: int = 0
    mtime_ns: int = 0
    refusal: str | None = None
    copy: int = 0
    split: str | None = None

    def entry(self, identity: str, split: str | None = None) -> Entry:
        """Make the entry of a photo of `identity`."""
        image_id = encode_name(os.fsencode(self.path)) + (f"%00{self.copy}" if self.copy else "")
        return Entry(
            image_id, identity, self.size, self.mtime_ns, self.location, split or self.split, refusal=self.refusal
        )


class Store(Protocol):
    """A tree of files, in a directory or an archive. Picklable; `read` may be called from many threads.

    Folders are paths relative to the root, "" is the root itself. System files and folders (see
    `system_kind`) are left out everywhere.
    """

    root: Path
    top: str
    """Folder at which a layout begins: "", or the folder that wraps a whole archive (`tar c photos/`)."""
    wraps: ClassVar[bool]
    """Whether one folder may wrap everything, or folders may be splits; False where the store's folders are labels."""
    beside: Path
    """Directory in which a layout looks for files that accompany the photos (CSVs of landmarks, say)."""

    def __init__(self, root: Path) -> None:
        """List what is needed to list folders. Raises SourceError for a damaged archive."""

    @classmethod
    def accepts(cls, root: Path) -> bool:
        """Whether this store opens `root`, an existing path."""

    def require_photos(self, expected: str) -> None:
        """Raise SourceError (see `no_photos`) if the store holds no photo; `expected` describes the layout."""

    def folders(self, folder: str) -> list[str]:
        """List the names of the folders directly in `folder`."""

    def photos(self, folder: str, *, deep: bool) -> list[PhotoFile]:
        """List the photos directly in `folder`, and with `deep` in all folders below, in any order."""

    def named(self, path: str) -> list[PhotoFile]:
        """List the photos with this path: one, or several archive members of the same name."""

    def outside(self) -> list[PhotoFile]:
        """List the refused photos whose path leads out of the root."""

    def read(self, entry: Entry) -> bytes:
        """Read a photo that is not refused. Raises DecodeError("cannot be read: ...")."""

    def ignored(self) -> Counter[str]:
        """Count the files that are left out among those listed so far: by extension, system files by `system_kind`."""


def no_photos(root: Path, folders: int, others: Counter[str], expected: str) -> SourceError:
    """Make the error for a store without photos, which holds so many folders and other files by extension."""
    if not folders and not others:
        return SourceError(f"{root} is empty: expected {expected}; give the right folder with --root DIR")
    files = ", ".join(f"{count:,} {ending or 'without extension'}" for ending, count in others.most_common(4))
    return SourceError(
        f"no photo in {root}: found {counted(folders, 'folder')} and {files or 'no files'}, expected {expected} "
        f"(jpg, png, webp, bmp, gif, tif); give the right folder with --root DIR"
        + "".join(f", or the {ending} as --root" for ending in (".tar", ".zip", ".rec", ".parquet") if others[ending])
    )
