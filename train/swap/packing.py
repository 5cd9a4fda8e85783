"""Reduces a checkpoint to what swaps need: the moving average of the generator in half precision."""

from pathlib import Path

import torch

from manifests.output import require_absent
from manifests.partials import remove_partials_of
from train import checkpoint
from train.checkpoint import Checkpoint

_MIN_HALF = 4096
"""Numbers of a tensor that is stored in half precision; smaller ones, such as latents and biases, take little space."""


def pack_generator(path: Path, out: Path) -> int:
    """Write a checkpoint without the state of its training; returns its size in bytes.

    It serves every command but `fit`, which cannot continue from it.

    Args:
        path: a checkpoint of `simswap fit`.
        out: the file to write.

    Raises:
        CheckpointError: `path` is not a checkpoint, or is damaged.
        OutputError: `out` exists, or cannot be written.
    """
    require_absent(out)
    full = checkpoint.read(path)
    tensors = {f"ema.{name}": tensor for name, tensor in full.part("ema").items()} | {"centre": full.tensors["centre"]}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel() >= _MIN_HALF:
            tensors[name] = tensor.to(torch.float16)
    remove_partials_of(out)
    checkpoint.write(out, Checkpoint(tensors, full.facts, {}, {}))
    return out.stat().st_size
