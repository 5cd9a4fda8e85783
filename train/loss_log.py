"""Losses between two lines of the log: their means, and the check that all are finite."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from manifests.output import atomic
from train.data.loader import Batch
from train.errors import DivergedError


@dataclass(frozen=True)
class _Step:
    """Losses of one step: `values[i]` is the loss `names[i]` of `batches`; `images` were trained on when it ended."""

    names: list[str]
    values: Tensor
    batches: list[Batch]
    images: int
    finite: Tensor
    copied: torch.cuda.Event | None

    @classmethod
    def begin(cls, names: list[str], values: Tensor, batches: list[Batch], images: int) -> "_Step":
        """Start copying to the CPU whether all values are finite, without waiting for the GPU."""
        finite = values.isfinite().all().to("cpu", non_blocking=True)
        copied = torch.cuda.Event() if values.is_cuda else None  # type: ignore[no-untyped-call]
        if copied is not None:
            copied.record()
        return cls(names, values, batches, images, finite, copied)

    def is_finite(self) -> bool:
        """Wait for this step, but not for later ones."""
        if self.copied is not None:
            self.copied.synchronize()
        return bool(self.finite)


class LossLog:
    """Collects the losses of each step. A step is checked when the next one is added, so that a GPU never idles.

    folder: where the batches of a step that diverged are written, as `IMAGES{suffix}.safetensors`.
    """

    def __init__(self, folder: Path, suffix: str = "") -> None:
        self.folder, self.suffix = folder, suffix
        self._pending: _Step | None = None
        self._values: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, names: list[str], values: Tensor, batches: list[Batch], images: int) -> None:
        """Add a step; names may repeat. Raises DivergedError where a loss of the step before was not finite."""
        for name, value in zip(names, values, strict=True):
            self._values[name].append(value)
        before, self._pending = self._pending, _Step.begin(names, values, batches, images)
        self._check(before)

    def means(self) -> dict[str, float]:
        """Mean of each loss since the last call. Raises DivergedError where one of the last step is not finite."""
        self._check(self._pending)
        self._pending = None
        means = {name: torch.stack(values).mean().item() for name, values in self._values.items()}
        self._values.clear()
        return means

    def _check(self, step: _Step | None) -> None:
        if step is None or step.is_finite():
            return
        index = int((~step.values.isfinite()).nonzero()[0])
        path = self.folder / f"{step.images:012d}{self.suffix}.safetensors"
        with atomic(path) as partial:
            partial.write_bytes(save(_tensors(step.batches)))
        raise DivergedError(
            f"loss {step.names[index]!r} is {step.values[index].item()} after {step.images:,} images; its batches are "
            f"in {path}. The last checkpoint is from before: continue with a recipe of a smaller learning_rate in "
            "another --out, or look at the batch"
        )


def _tensors(batches: list[Batch]) -> dict[str, Tensor]:
    """Tensors of the batches by `number.field`."""
    return {
        f"{number}.{name}": value.cpu().contiguous()
        for number, batch in enumerate(batches)
        for name, value in vars(batch).items()
        if isinstance(value, Tensor)
    }
