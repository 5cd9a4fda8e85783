"""The interface of a layout."""

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

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

    @abstractmethod
    def identities(self) -> list[str]:
        """List the identities, in any order."""

    @abstractmethod
    def entries(self, identity: str) -> "list[Entry]":
        """List the photos of one identity, in any order; empty for an unknown one."""
