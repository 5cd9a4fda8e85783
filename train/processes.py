"""One training on several processes, as `torchrun` starts them.

Results do not depend on their number, but for the order of sums: a batch is computed in `accumulate` parts, each with
batch statistics of its own; one process computes them in sequence, several divide them, and the means of the gradients
and of the generator's running statistics are the same. NCCL between GPUs, gloo otherwise.
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

# The other processes wait while the first one embeds all faces of a dataset without latents of this embedder.
_TIMEOUT = timedelta(hours=6)


@dataclass(frozen=True)
class Processes:
    """This process's number, 0 to `count` - 1, and its device.

    control: the group of all processes that exchanges numbers between CPUs; None: the default group does.
    """

    number: int
    count: int
    device: torch.device
    control: dist.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.number == 0

    def wait(self) -> None:
        """Barrier: return when every process has called it."""
        if self.count > 1:
            dist.barrier(device_ids=[self.device.index] if self.device.type == "cuda" else None)

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """Run the block in the first process, then in the others: one error message, and each file written once."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def maximum(self, number: int) -> int:
        """The largest `number` of all processes, each of which calls this. No GPU is waited for."""
        if self.count == 1:
            return number
        numbers = torch.tensor([number])
        dist.all_reduce(numbers, dist.ReduceOp.MAX, self.control)
        return int(numbers)

    @torch.no_grad()
    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, which pass the same shapes; float32, one device."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """The processes that `torchrun` started; without it this one alone. 'cuda' becomes one GPU per process.

    After an error the process must exit; `torchrun` then stops the others.
    """
    if not dist.is_torchelastic_launched():
        yield Processes(0, 1, torch.device(device))
        return
    local = torch.device(device)
    if local.type == "cuda":
        local = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if local.type == "cuda" else "gloo", timeout=_TIMEOUT)
    control: dist.ProcessGroup | None = None
    if local.type == "cuda":
        group = dist.new_group(backend="gloo", timeout=_TIMEOUT)
        assert isinstance(group, dist.ProcessGroup)
        control = group
    yield Processes(dist.get_rank(), dist.get_world_size(), local, control)
    dist.destroy_process_group()


def divide_batch(recipe: Recipe, count: int) -> Recipe:
    """The recipe with its batch in a number of parts that `count` processes can share equally.

    Raises RecipeError where the batch cannot be divided.
    """
    return replace(recipe, accumulate=math.lcm(recipe.accumulate, count))
