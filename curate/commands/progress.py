"""Progress bars of the commands."""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tqdm import tqdm


class Bar:
    """A progress bar on stderr; now and then a line when stderr is no terminal."""

    def __init__(self, unit: str = " photos") -> None:
        self._unit = unit
        self._bar: tqdm[Any] | None = None

    def start(self, words: str, total: int | None) -> None:
        """Begin a step of so many units; None where nobody knows how many."""
        from tqdm import tqdm

        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            desc=words,
            unit=self._unit,
            unit_scale=self._unit == "B",
            disable=total == 0,
            mininterval=0.2 if terminal else 10.0,
            delay=0.5 if terminal else 10.0,
            leave=terminal,
        )

    def tick(self, count: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.update(count)

    def reach(self, done: int, total: int) -> None:
        """So many are done, of so many (0: nobody knows)."""
        if self._bar is not None:
            self._bar.total = total or None
            self._bar.update(done - self._bar.n)

    def write(self, line: str) -> None:
        """A line on stderr that the bar does not tear."""
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)

    def follow(self, words: str) -> "Callable[[int, int | None], None]":
        """A callback for steps that tell how much is done, and of how much."""
        before = 0

        def tell(done: int, total: int | None) -> None:
            nonlocal before
            if self._bar is None:
                self.start(words, total)
            self.tick(done - before)
            before = done

        return tell

    def finish(self) -> None:
        """The step is over."""
        if self._bar is not None:
            self._bar.close()
