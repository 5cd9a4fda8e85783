"""Progress bars on the terminal."""

import sys
from typing import TYPE_CHECKING, Any, TextIO

from curate.program import Step, begin_step, complete_step

if TYPE_CHECKING:
    from tqdm import tqdm


_LOG_SECONDS = 10.0
"""Least time between two lines where stderr is no terminal."""


class _Lines:
    """File for tqdm: each state of a bar is a line; the blanks and carriage returns that remove one are left out."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None: ...


class ProgressBar:
    """A `curate.listener.Listener` that shows a tqdm bar on stderr, or an occasional line where stderr is no terminal.

    Notes are printed to `notes` (default: stdout).
    """

    def __init__(self, notes: TextIO | None = None) -> None:
        self._notes = notes
        self._bar: tqdm[Any] | None = None
        self._step = Step("", "", None)

    def start(self, step: str, total: int | None, unit: str = "photos", done: int = 0) -> None:
        from tqdm import tqdm

        self._step = Step(step, unit, total, done)
        begin_step(self._step)
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=step,
            unit=unit if unit == "B" else f" {unit}",
            unit_scale=unit == "B",
            disable=total == 0,
            file=None if terminal else _Lines(),
            mininterval=0.2 if terminal else _LOG_SECONDS,
            delay=0.5 if terminal else _LOG_SECONDS,
            leave=terminal,
        )

    def advance(self, count: int = 1) -> None:
        self._step.done += count
        if self._bar is not None:
            self._bar.update(count)

    def finish(self) -> None:
        if sys.exc_info()[0] is None:
            complete_step()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def note(self, message: str) -> None:
        file = self._notes or sys.stdout
        if self._bar is None:
            print(message, file=file, flush=True)
        else:
            self._bar.write(message, file=file)
