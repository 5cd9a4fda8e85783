"""One training on several processes, as `torchrun` starts them: who this one is, and means over all of them.

What is computed does not depend on how many there are. A recipe's batch is computed in `accumulate` parts, each with
batch statistics of its own; one process takes them one after another, several take turns, and the gradients' mean is
the same. NCCL between GPUs, gloo otherwise.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from train.config import Recipe

# The others wait for the first one while it embeds every face of a dataset that holds no fitting latents.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True)
class Processes:
    """This process's number below `count`, and the device it computes on."""

    number: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and reports."""
        return self.number == 0

    def wait(self) -> None:
        """Return when every process is here."""
        if self.count > 1:
            dist.barrier(device_ids=[self.device.index] if self.device.type == "cuda" else None)

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """The block runs in the first process, then in the others: a refusal is said once, a file made once."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    @torch.no_grad()
    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, which all bring the same shapes; float32, one device."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that `torchrun` started, this one alone without it; 'cuda' becomes a GPU of each one's own.

    After an error the process is to end: `torchrun` then stops the others.
    """
    if not dist.is_torchelastic_launched():
        yield Processes(0, 1, torch.device(device))
        return
    mine = torch.device(device)
    if mine.type == "cuda":
        mine = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(mine)
    dist.init_process_group("nccl" if mine.type == "cuda" else "gloo", timeout=_PATIENCE)
    yield Processes(dist.get_rank(), dist.get_world_size(), mine)
    dist.destroy_process_group()


def shared(recipe: Recipe, count: int) -> Recipe:
    """The recipe with its batch in so many parts that `count` processes get as many each.

    Raises RecipeError where the batch cannot be divided so.
    """
    return replace(recipe, accumulate=math.lcm(recipe.accumulate, count))
