"""What can go wrong, one type for each mistake, each with its own exit code.

`curate/program.py` turns these into one line on stderr and an exit code; only commands print or exit.
Each message names the value, the place and the next step.
"""

from manifests.errors import BusyError, DatasetError, OutputError, SwapsetError

__all__ = [
    "BusyError",
    "DatasetError",
    "DecodeError",
    "ModelError",
    "OutputError",
    "PolicyError",
    "SourceError",
    "SwapsetError",
]


class SourceError(SwapsetError):
    """The photo collection is missing, empty, or not shaped as its kind says."""

    exit_code = 3


class ModelError(SwapsetError):
    """Weights are missing, damaged, of another kind, or their hash is not the one recorded."""

    exit_code = 6


class PolicyError(SwapsetError):
    """A policy file, an override or a calibration has an unknown key or a value out of range."""

    exit_code = 8


class DecodeError(SwapsetError):
    """These bytes are not an image that can be decoded; `str(error)` is the reason stored with the photo."""
