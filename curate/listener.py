"""Progress reporting: the protocol that every long operation reports to.

An operation takes a `Listener` as its last argument, `SILENT` by default. The command line shows progress bars
(`curate.commands.progress`); a notebook or a test passes its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Listener(Protocol):
    """Receives the progress of a long operation. Steps follow one another and never overlap."""

    def start(self, step: str, total: int | None, unit: str = "photos", done: int = 0) -> None:
        """Begin a step of `total` units, of which `done` are done already; None where the total is unknown.

        `unit` "B" counts bytes.
        """

    def advance(self, count: int = 1) -> None:
        """Report `count` more units of the current step as done."""

    def finish(self) -> None:
        """End the current step, completed or not."""

    def note(self, message: str) -> None:
        """Report one line of information, inside or outside a step."""


class _Silent:
    def start(self, step: str, total: int | None, unit: str = "photos", done: int = 0) -> None: ...
    def advance(self, count: int = 1) -> None: ...
    def finish(self) -> None: ...
    def note(self, message: str) -> None: ...


SILENT: Listener = _Silent()
"""Ignores all reports."""


@contextmanager
def progress(listener: Listener, step: str, total: int | None, unit: str = "photos") -> Iterator[Callable[[int], None]]:
    """Context manager: start a step, yield `listener.advance`, finish the step also after an error."""
    listener.start(step, total, unit)
    try:
        yield listener.advance
    finally:
        listener.finish()
