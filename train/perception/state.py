"""The checkpoint of a segmenter's training, read strictly."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from curate.faces.torch_file import UnreadableTorchFileError, read_torch_file
from train.errors import CheckpointError


class SegmenterState(NamedTuple):
    """network, average: tensors by name. optimiser: its state. images: trained on so far."""

    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    images: int


def read_state(path: Path) -> SegmenterState:
    """Read a checkpoint; only tensors and plain values are accepted.

    Raises CheckpointError where it is missing, damaged, or no checkpoint of a segmenter.
    """
    advice = "remove it to train from the start, or give another --out"
    try:
        values = read_torch_file(path, CheckpointError)
    except UnreadableTorchFileError as error:
        raise CheckpointError(f"{path} is damaged ({error}): {advice}") from error
    if not isinstance(values, dict) or values.keys() != set(SegmenterState._fields):
        raise CheckpointError(f"{path} is no checkpoint of a segmenter: {advice}")
    state = SegmenterState(**values)
    if not (_are_tensors(state.network) and _are_tensors(state.average) and isinstance(state.optimiser, dict)):
        raise CheckpointError(f"{path} holds something else than weights: {advice}")
    if isinstance(state.images, bool) or not isinstance(state.images, int) or state.images < 0:
        raise CheckpointError(f"{path}: {state.images!r} is no number of images: {advice}")
    return state


def _are_tensors(values: object) -> bool:
    return isinstance(values, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in values.items()
    )
