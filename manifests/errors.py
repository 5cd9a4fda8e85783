"""What can go wrong with a dataset on disk, one type for each mistake, each with its own exit code.

The programs turn these into one line on stderr and an exit code; nothing in this package prints or exits.
Each message names the value, the place and the next step.
"""


class SwapsetError(Exception):
    """Base of every error that a user can cause or mend. `exit_code` is what the command returns."""

    exit_code = 1


class OutputError(SwapsetError):
    """The output cannot be written: read-only, full disk, inside the source, or not a dataset of ours."""

    exit_code = 4


class BusyError(SwapsetError):
    """Another run is working on the same output."""

    exit_code = 5


class DatasetError(SwapsetError):
    """A curated dataset cannot be used: unknown schema version, missing shard, other embedder or template."""

    exit_code = 7
