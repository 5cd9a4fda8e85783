"""Files of `torch.save`, read without running code in them."""

import struct
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from manifests.errors import SwapsetError
from manifests.input import readable

_UNREADABLE = (
    UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError, struct.error,
)  # fmt: skip
"""What torch.load raises for a file that it did not write: its bytes are taken for instructions of the unpickler."""


class UnreadableTorchFileError(Exception):
    """The file was not written by torch.save, or is damaged. The message is the reason, in one line."""


def read_torch_file(path: Path, missing: type[SwapsetError]) -> Any:
    """Read tensors and plain values, onto the CPU.

    Raises `missing` where the file cannot be opened, UnreadableTorchFileError for any other content.
    """
    with readable(path, missing):
        path.open("rb").close()
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise UnreadableTorchFileError(" ".join(str(error).split())[:200] or type(error).__name__) from error


def read_state_dict(path: Path, missing: type[SwapsetError]) -> dict[str, Tensor]:
    """Read a file of tensors by name; raises as `read_torch_file`."""
    state = read_torch_file(path, missing)
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UnreadableTorchFileError("its values are not all tensors")
    return {str(name): tensor for name, tensor in state.items()}
