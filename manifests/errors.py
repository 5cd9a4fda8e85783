"""Errors of datasets on disk: one type, with its own exit code, for each kind of mistake.

The programs print the message on stderr and exit with the code; nothing in this package prints or exits.
A message names the value, the place and the next step.
"""


class SwapsetError(Exception):
    """Base of every error that a user can cause or correct. `exit_code` is the exit status of the command."""

    exit_code = 1


class OutputError(SwapsetError):
    """The output cannot be written: read-only, disk full, inside the source, or occupied by other files."""

    exit_code = 4

    @property
    def errno(self) -> int | None:
        """The code of the system's error behind this one; None where there is none."""
        return self.__cause__.errno if isinstance(self.__cause__, OSError) else None


class BusyError(SwapsetError):
    """Another run holds the lock of the same output."""

    exit_code = 5

    def __init__(self, message: str, holder: str = "unknown") -> None:
        """holder: process id of the other run, as text."""
        super().__init__(message)
        self.holder = holder


class DatasetError(SwapsetError):
    """A curated dataset cannot be used: unknown schema version, missing shard, other embedder or template."""

    exit_code = 7


class DamagedError(DatasetError):
    """A file of a dataset differs from its checksums."""
