"""The whole state of a training <-> one safetensors file, written by a thread of its own, whole or not at all.

Tensors by name, everything else as JSON in the file's metadata, and a digest over both: a damaged file is noticed.
"""

import hashlib
import json
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from manifests.errors import OutputError
from manifests.output import atomic
from train.errors import CheckpointError

FORMAT = "swapset-training-1"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors on the CPU, and `facts`: plain values that JSON can hold, `images` among them."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """Tensors under `name.`, without it: a state dict."""
        return {key[len(name) + 1 :]: tensor for key, tensor in self.tensors.items() if key.startswith(name + ".")}


def snapshot(
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, Optimizer],
    others: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> Checkpoint:
    """A copy on the CPU that later updates do not touch. `facts` must hold what JSON can."""
    tensors = {f"{name}.{key}": t for name, network in networks.items() for key, t in network.state_dict().items()}
    groups = {}
    for name, optimiser in optimisers.items():
        state = optimiser.state_dict()
        groups[name] = state["param_groups"]
        for number, moments in state["state"].items():
            tensors |= {f"{name}.{number}.{key}": moment for key, moment in moments.items()}
    tensors |= dict(others)
    copies = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    return Checkpoint(copies, {**facts, "optimisers": groups})


def restore(checkpoint: Checkpoint, networks: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer]) -> None:
    """Load networks and optimisers from a checkpoint, strictly. Raises CheckpointError where one does not fit."""
    try:
        for name, network in networks.items():
            network.load_state_dict(checkpoint.part(name), strict=True)
        for name, optimiser in optimisers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in checkpoint.part(name).items():
                number, _, moment = key.partition(".")
                moments.setdefault(int(number), {})[moment] = tensor
            optimiser.load_state_dict({"state": moments, "param_groups": checkpoint.facts["optimisers"][name]})
            _lay_out_as_parameters(optimiser)
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"the checkpoint does not fit this training: {error}") from error


def _lay_out_as_parameters(optimiser: Optimizer) -> None:
    """Moments in the memory order of their weights: a fused update pairs them by place in memory, not by index."""
    for parameter, moments in optimiser.state.items():
        for name, moment in moments.items():
            if moment.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(moment)


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path`, whole or not at all. Raises OutputError: disk full, read-only."""
    facts = json.dumps(checkpoint.facts, sort_keys=True)
    told = {"format": FORMAT, "facts": facts, "sha256": _digest(checkpoint.tensors, facts)}
    with atomic(path) as partial:
        try:
            save_file(checkpoint.tensors, partial, told)
        except SafetensorError as error:
            # safetensors wraps what the system said in text of its own.
            raise OutputError(
                f"cannot write {path}: {error}: free some space and run the same command again; earlier checkpoints "
                "are kept"
            ) from error


def read(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError: missing, damaged, or of another kind."""
    advice = "give another checkpoint; a training whose newest is removed continues from the one before"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): {advice}") from error
    if told.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format is {told.get('format')!r}, not {FORMAT!r}: it is no checkpoint of ours")
    if _digest(tensors, told.get("facts", "")) != told.get("sha256"):
        raise CheckpointError(f"{path} is damaged (its contents do not hash to what is recorded): {advice}")
    return Checkpoint(tensors, json.loads(told["facts"]))


def newest(folder: Path) -> Path | None:
    """The checkpoint of most images in `folder`, if there is one."""
    return max(folder.glob("*.safetensors"), default=None)


def path_of(folder: Path, images: int) -> Path:
    """Where the checkpoint after so many images lies; names sort by them."""
    return folder / f"{images:012d}.safetensors"


class CheckpointWriter:
    """Writes checkpoints to `folder` from a thread of its own and keeps the newest `keep`.

    One is written at a time: a second waits. An error of the thread is raised by the next `write`, or by `close`.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self._waiting: queue.Queue[Checkpoint | None] = queue.Queue(maxsize=1)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def write(self, checkpoint: Checkpoint) -> None:
        """Hand over a checkpoint; returns before it is on disk."""
        self._raise()
        self._waiting.put(checkpoint)

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._waiting.put(None)
        self._thread.join()
        self._raise()

    def _work(self) -> None:
        while (checkpoint := self._waiting.get()) is not None:
            if self._error is not None:
                continue
            try:
                write(path_of(self.folder, checkpoint.facts["images"]), checkpoint)
                for old in sorted(self.folder.glob("*.safetensors"))[: -self.keep]:
                    old.unlink(missing_ok=True)
            except Exception as error:  # noqa: BLE001
                # Whatever it is: the training must hear of it, and not wait for a thread that has ended.
                self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    total = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # Bytes of any type, bfloat16 included, which NumPy does not know.
        total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
