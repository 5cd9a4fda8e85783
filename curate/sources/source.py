"""A source: a layout on a store."""

from pathlib import Path

from curate.errors import DecodeError, SourceError
from curate.sources.entry import Entry
from curate.sources.layouts import LAYOUTS
from curate.sources.layouts.layout import Layout
from curate.sources.stores import open_store
from curate.sources.stores.store import Store
from manifests.identity import NO_IDENTITY
from manifests.locations import as_path


class Source:
    """A photo collection, listed one identity at a time. Picklable; `read` may be called from many threads.

    Photos without identity may be listed in several parts (see `is_no_identity`); `Entry.identity` is then NO_IDENTITY.
    """

    def __init__(self, store: Store, layout: Layout) -> None:
        self.store = store
        self.layout = layout

    @property
    def root(self) -> Path:
        """The directory or archive."""
        return self.store.root

    def identities(self) -> list[str]:
        """List all identities, sorted, including those whose folder holds no photo."""
        without = [NO_IDENTITY] if self.store.outside() else []
        return sorted({*self.layout.identities(), *without})

    def entries(self, identity: str) -> list[Entry]:
        """List the photos of one identity, sorted by image_id; anew on each call. Empty for an unknown identity."""
        entries = self.layout.entries(identity)
        if identity == NO_IDENTITY:
            entries += [file.entry(NO_IDENTITY) for file in self.store.outside()]
        return sorted(entries, key=lambda entry: entry.image_id)

    def read(self, entry: Entry) -> bytes:
        """Read a photo. Raises DecodeError("cannot be read: ...") for a refused, vanished or failing file."""
        if entry.refusal is not None:
            raise DecodeError(f"cannot be read: {entry.refusal}")
        return self.store.read(entry)

    def ignored(self) -> dict[str, int]:
        """Count the files that are left out among those listed so far: by extension, system files by kind."""
        return dict(self.store.ignored() + self.layout.ignored)

    def notes(self) -> list[str]:
        """Return lines on how the tree was read where other readings are possible, and on what was not read."""
        return self.layout.notes()


def open_source(layout: str, root: Path, identities: str | None = None) -> Source:
    """Open the collection at `root`, a directory or an archive, in the layout of this name.

    `identities`: where the layout "folder" takes identities from (see `Folder`); None: detected.

    Raises SourceError where it is missing, compressed, holds no photo, or has another layout; the message names what
    was found, what was expected, and what to do.
    """
    if layout not in LAYOUTS:
        raise SourceError(f"no layout is called {layout!r}; choose {', '.join(LAYOUTS)}")
    try:
        store = open_store(as_path(root))
        store.require_photos(LAYOUTS[layout].expected)
        return Source(store, LAYOUTS[layout].open(store, identities))
    except OSError as error:
        raise SourceError(f"{root} cannot be listed ({error.strerror}): check its permissions") from error
