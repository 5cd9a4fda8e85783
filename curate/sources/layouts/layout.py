"""The interface of a layout."""

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from curate.errors import SourceError

if TYPE_CHECKING:
    from curate.sources.entry import Entry
    from curate.sources.stores.store import Store


class Layout(ABC):
    """Assigns the photos of one store to identities. Picklable.

    Its constructor raises SourceError where the store has another layout.
    """

    summary: ClassVar[str]
    """What the layout is, for `--help`."""
    expected: ClassVar[str]
    """Example paths, for error messages."""

    def __init__(self, store: "Store") -> None:
        self.store = store
        self.ignored = Counter[str]()
        """What is left out besides the files that the store does not list, by kind."""

    @classmethod
    def open(cls, store: "Store", identities: str | None) -> "Layout":
        """Open the layout with a value of `--identities`, None where it is not given.

        Raises SourceError where the layout has no such option.
        """
        if identities is not None:
            raise SourceError("--identities applies to the layout 'folder' only: leave it out")
        return cls(store)

    @abstractmethod
    def identities(self) -> list[str]:
        """List the identities, in any order.

        Photos without identity are listed as NO_IDENTITY, or as several parts of it (see `is_no_identity`).
        """

    @abstractmethod
    def entries(self, identity: str) -> "list[Entry]":
        """List the photos of one identity, in any order; empty for an unknown one."""

    def notes(self) -> list[str]:
        """Return lines on how the tree was read where other readings are possible, and on what was not read."""
        return []
