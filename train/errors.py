"""Errors of `simswap`, one type per kind of mistake, each with its own exit code.

`curate/program.py` prints them as one line on stderr. Each message names the value, the place and the next step.
"""

from manifests.errors import SwapsetError


class RecipeError(SwapsetError):
    """A recipe has an unknown key, a value out of range, or values that conflict."""

    exit_code = 8


class CheckpointError(SwapsetError):
    """A checkpoint is damaged, of another kind, or of a training with another recipe or other data."""

    exit_code = 10


class DivergedError(SwapsetError):
    """A loss is no longer a finite number."""

    exit_code = 11


class MarkError(SwapsetError):
    """A result cannot be marked as AI-generated: unsupported format, unusable certificate."""

    exit_code = 13


class TargetError(SwapsetError):
    """A photo or video, or some of a folder, cannot be swapped: unreadable, no face, unsupported format."""

    exit_code = 14


class SourceFaceError(SwapsetError):
    """A photo that must show one face shows none, or several."""

    exit_code = 15


class ConsentError(SwapsetError):
    """The source or the target shows a person of an exclusion gallery."""

    exit_code = 16


class ProtocolError(SwapsetError):
    """A protocol file is damaged or of another kind, or cannot be judged on as asked."""

    exit_code = 21
