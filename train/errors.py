"""What can go wrong with a training, one type for each mistake, each with its own exit code.

`train/cli.py` turns these into one line on stderr and an exit code. Each message names the value, the place and the
next step.
"""

from manifests.errors import SwapsetError


class RecipeError(SwapsetError):
    """A recipe has an unknown key, a value out of range, or values that do not go together."""

    exit_code = 8


class CheckpointError(SwapsetError):
    """A checkpoint is damaged, of another kind, or of a training with another recipe or other data."""

    exit_code = 10


class DivergedError(SwapsetError):
    """A loss is no longer a finite number."""

    exit_code = 11
