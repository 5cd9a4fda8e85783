"""A source: a layout on a store."""

from pathlib import Path

from curate.errors import DecodeError, SourceError
from curate.sources.entry import Entry
from curate.sources.layouts import LAYOUTS
from curate.sources.layouts.layout import Layout
from curate.sources.stores import open_store
from curate.sources.stores.store import Store
from manifests.identity import NO_IDENTITY


class Source:
    """A photo collection, listed one identity at a time. Picklable; `read` may be called from many threads."""

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
        """Count the files that are not photos, by extension, among those listed so far."""
        return dict(self.store.ignored() + self.layout.ignored)


def open_source(layout: str, root: Path) -> Source:
    """Open the collection at `root`, a directory or an archive, in the layout of this name.

    Raises SourceError where it is missing, compressed, holds no photo, or has another layout; the message names what
    was found, what was expected, and what to do.
    """
    if layout not in LAYOUTS:
        raise SourceError(f"no layout is called {layout!r}; choose {', '.join(LAYOUTS)}")
    try:
        store = open_store(root)
        store.require_photos(LAYOUTS[layout].expected)
        return Source(store, LAYOUTS[layout](store))
    except OSError as error:
        raise SourceError(f"{root} cannot be listed ({error.strerror}): check its permissions") from error
