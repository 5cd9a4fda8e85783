"""The state of a training as one safetensors file: tensors by name, everything else as JSON in the file's metadata.

A digest over both detects damage. A file is written whole or not at all, in a background thread.
"""

import hashlib
import json
import queue
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from manifests.input import readable
from manifests.output import atomic
from manifests.records import InvalidRecordError, Limits, parse_record
from train.config import Recipe
from train.errors import CheckpointError

FORMAT = "swapset-training-1"


@dataclass(frozen=True)
class RunFacts:
    """Recipe and data of a training, the same in all of its checkpoints and in its `run.json`.

    Attributes:
        recipe: what is trained.
        policy_hash: of the policy that decided the dataset; None where it has none.
        embedder_id: the embedder of the latents.
        latent_dim: dimension of the latents.
        selection: digest of the photos that were selected for training; None for all kept ones.
    """

    recipe: Recipe
    policy_hash: str | None
    embedder_id: str
    latent_dim: int
    selection: str | None = field(default=None, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class CheckpointFacts(RunFacts):
    """The facts of a training, and its progress.

    Attributes:
        images: target images that the generator was trained on so far.
    """

    images: Annotated[int, Limits(low=0)]


@dataclass(frozen=True)
class _Header(CheckpointFacts):
    """The JSON in the metadata of a checkpoint's file."""

    optimisers: dict[str, list[dict[str, Any]]]
    loader: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training.

    Attributes:
        tensors: by `part.name`, on the CPU.
        facts: recipe, data and progress.
        optimisers: the parameter groups of each optimiser.
        loader: the state of the data loader.
    """

    tensors: dict[str, Tensor]
    facts: CheckpointFacts
    optimisers: dict[str, list[dict[str, Any]]]
    loader: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors `name.*` without the prefix: a state dict."""
        return {key[len(name) + 1 :]: tensor for key, tensor in self.tensors.items() if key.startswith(name + ".")}


def snapshot(
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, Optimizer],
    tensors: Mapping[str, Tensor],
    facts: CheckpointFacts,
    loader: Mapping[str, Any],
) -> Checkpoint:
    """A copy on the CPU, which later updates do not change. `loader` must be serialisable as JSON."""
    parts = {f"{name}.{key}": t for name, network in networks.items() for key, t in network.state_dict().items()}
    groups = {}
    for name, optimiser in optimisers.items():
        state = optimiser.state_dict()
        groups[name] = state["param_groups"]
        for index, moments in state["state"].items():
            parts |= {f"{name}.{index}.{key}": moment for key, moment in moments.items()}
    parts |= dict(tensors)
    copies = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in parts.items()}
    return Checkpoint(copies, facts, groups, dict(loader))


def restore(checkpoint: Checkpoint, networks: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer]) -> None:
    """Load networks and optimisers from a checkpoint, strictly. Raises CheckpointError where one does not fit."""
    try:
        for name, network in networks.items():
            network.load_state_dict(checkpoint.part(name), strict=True)
        for name, optimiser in optimisers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in checkpoint.part(name).items():
                index, _, moment = key.partition(".")
                moments.setdefault(int(index), {})[moment] = tensor
            optimiser.load_state_dict({"state": moments, "param_groups": checkpoint.optimisers[name]})
            _match_memory_format(optimiser)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the checkpoint does not fit this training: {error}") from error


def _match_memory_format(optimiser: Optimizer) -> None:
    """Give moments the strides of their weights: a fused update pairs elements by address, not by index."""
    for parameter, moments in optimiser.state.items():
        for name, moment in moments.items():
            if moment.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(moment)


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path`, whole or not at all; equal checkpoints have equal bytes.

    Raises OutputError: disk full, read-only.
    """
    values = {**checkpoint.facts.to_json(), "optimisers": checkpoint.optimisers, "loader": checkpoint.loader}
    facts = json.dumps(values, sort_keys=True)
    metadata = {"format": FORMAT, "facts": facts, "sha256": _digest(checkpoint.tensors, facts)}
    # Not `save_file`, which writes through another temporary file, and a kill would leave that one behind.
    data = save(checkpoint.tensors, metadata)
    with atomic(path) as partial, partial.open("wb") as file:
        _write_sorted(file, data)


def _write_sorted(file: BinaryIO, data: bytes) -> None:
    """Write the bytes of a safetensors file with its metadata sorted, which the library writes in random order.

    A file begins with the length of its header, 8 bytes, little-endian, and the header, JSON that spaces may follow. A
    header that would become longer, with other escapes, stays as it is.
    """
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    file.write(data[:8])
    file.write(text.ljust(size) if len(text) <= size else data[8 : 8 + size])
    file.write(memoryview(data)[8 + size :])


def read(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError: missing, damaged, of another format or version."""
    advice = "use another checkpoint; a training whose newest one is removed continues from the one before"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with readable(path, CheckpointError):
            path.open("rb").close()  # safetensors reports errors of the system as damage
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged ({error}): {advice}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: format is {metadata.get('format')!r}, not {FORMAT!r}: it is not a checkpoint of simswap fit"
        )
    if _digest(tensors, metadata.get("facts", "")) != metadata.get("sha256"):
        raise CheckpointError(f"{path} is damaged (its contents do not match the recorded hash): {advice}")
    try:
        header = parse_record(metadata["facts"], _Header)
    except InvalidRecordError as error:
        raise CheckpointError(
            f"{path} was written by another version of swapset ({error}): train again, or use that version"
        ) from error
    facts = {field.name: getattr(header, field.name) for field in fields(CheckpointFacts)}
    return Checkpoint(tensors, CheckpointFacts(**facts), header.optimisers, header.loader)


def newest(folder: Path) -> Path | None:
    """The checkpoint of most images in `folder`; None where there is none."""
    return max(folder.glob("*.safetensors"), default=None)


def path_of(folder: Path, images: int) -> Path:
    """Path of the checkpoint after so many images; names sort by images."""
    return folder / f"{images:012d}.safetensors"


class CheckpointWriter:
    """Writes checkpoints to `folder` in a background thread and keeps the newest `keep`.

    One is written at a time; a second `write` waits. An error of the thread is raised by the next `write` or `close`.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self._queue: queue.Queue[Checkpoint | None] = queue.Queue(maxsize=1)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def write(self, checkpoint: Checkpoint) -> None:
        """Queue a checkpoint; returns before it is on disk."""
        self._raise()
        self._queue.put(checkpoint)

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def _work(self) -> None:
        while (checkpoint := self._queue.get()) is not None:
            if self._error is not None:
                continue
            try:
                write(path_of(self.folder, checkpoint.facts.images), checkpoint)
                for old in sorted(self.folder.glob("*.safetensors"))[: -self.keep]:
                    old.unlink(missing_ok=True)
            except Exception as error:  # noqa: BLE001
                # Any error must reach the training, which would otherwise wait for a thread that has ended.
                self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # As bytes, because NumPy has no bfloat16.
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
