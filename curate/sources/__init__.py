"""Photo collections: enumerate photos and read their bytes. Never pixels."""

import stat
from collections.abc import Callable
from pathlib import Path

from curate.errors import SourceError
from curate.sources.entry import PHOTO_EXTENSIONS, Entry, Source, decode_name, encode_name
from curate.sources.layouts import folder, sjtu, vggface2
from curate.sources.stores import tar

__all__ = ["KINDS", "PHOTO_EXTENSIONS", "Entry", "Source", "decode_name", "encode_name", "open_source"]

KINDS: dict[str, tuple[Callable[[Path], Source], Callable[[Path], Source]]] = {
    "folder": (folder.FolderSource, folder.open_tar),
    "sjtu": (sjtu.SjtuSource, sjtu.open_tar),
    "vggface2": (vggface2.VggFace2Source, vggface2.open_tar),
}
"""How to open a collection of each kind: as a directory, and as one plain tar."""


def open_source(kind: str, root: Path) -> Source:
    """Open the collection at `root` (a directory, or one uncompressed tar) in the layout that `kind` names.

    Raises SourceError where it is missing, empty, compressed, holds no photo, or is laid out otherwise; the message
    says what was found, what was expected, and what to do.
    """
    if kind not in KINDS:
        raise SourceError(f"no kind of source is called {kind!r}; there are {', '.join(sorted(KINDS))}")
    as_directory, as_tar = KINDS[kind]
    try:
        mode = root.stat().st_mode
    except OSError as error:
        raise SourceError(
            f"{root} cannot be opened ({error.strerror}): give the folder of photos with --root DIR"
        ) from error
    try:
        if stat.S_ISDIR(mode):
            return as_directory(root)
        if stat.S_ISREG(mode):
            tar.require_plain_tar(root)
            return as_tar(root)
    except OSError as error:
        raise SourceError(f"{root} cannot be listed ({error.strerror}): check its permissions") from error
    raise SourceError(f"{root} is neither a folder nor a .tar: give the folder of photos with --root DIR")
