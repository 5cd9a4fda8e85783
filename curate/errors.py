"""Errors of `curate`: one type per kind of mistake, each with its own exit code.

`curate.program` turns them into one line on stderr and an exit code. Each message names the value, the place and the
next step.
"""

from manifests.errors import BusyError, DatasetError, OutputError, SwapsetError

__all__ = [
    "BusyError",
    "ChecksError",
    "DatasetError",
    "DecodeError",
    "ExtraError",
    "ModelError",
    "OutputError",
    "PolicyError",
    "SourceError",
    "SwapsetError",
]


class SourceError(SwapsetError):
    """The photo collection is missing, empty, or has another layout."""

    exit_code = 3


class ModelError(SwapsetError):
    """Weights are missing, damaged, of another kind, or their hash is not the recorded one."""

    exit_code = 6


class PolicyError(SwapsetError):
    """A policy file, an override or a blur calibration has an unknown key or a value out of range."""

    exit_code = 8


class ChecksError(SwapsetError):
    """With `--strict-checks`: a check found something off in the collection. The dataset is complete."""

    exit_code = 17


class ExtraError(SwapsetError):
    """A command needs packages of an extra that is not installed."""

    exit_code = 2


class DecodeError(SwapsetError):
    """The bytes of a photo cannot be read or decoded; `str(error)` is the reason stored with the photo."""
