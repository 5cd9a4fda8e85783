"""A network and example inputs -> its parameters, multiply-adds and memory, counted without computing anything.

All runs on torch's meta device, where tensors have shapes and no numbers: milliseconds, and no memory.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Complexity:
    """Parameters; multiply-adds of one image's forward pass; bytes a training step keeps for an image's backward."""

    parameters: int
    macs: int
    activation_bytes: int

    def training_bytes(self, batch: int) -> int:
        """Estimate of a training step's memory in float32: weights, gradient, Adam's two moments, and activations.

        Working memory of convolutions and the allocator's waste are not in it.
        """
        return 16 * self.parameters + batch * self.activation_bytes


def parameters(network: nn.Module) -> int:
    """How many numbers the network learns, frozen ones included."""
    return sum(parameter.numel() for parameter in network.parameters())


def measure(
    network: nn.Module, *shapes: tuple[int, ...], run: Callable[..., object] = lambda network, *inputs: network(*inputs)
) -> Complexity:
    """The complexity of `network` called with float32 tensors of these shapes, which are divided by their batch.

    Multiply-adds are those of convolutions and matrix products, as papers count them; normalisation, activations and
    resampling are left out. `run(network, *tensors)` is what is counted, a forward pass unless said otherwise.
    """
    shadow = copy.deepcopy(network).to("meta").train()
    inputs = [torch.empty(shape, device="meta") for shape in shapes]
    batch = shapes[0][0]
    kept: dict[int, Tensor] = {}
    own = {parameter.untyped_storage()._cdata for parameter in shadow.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in own:
            kept[place] = tensor  # held, so that no other storage takes its place
        return tensor

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        run(shadow, *inputs)
    held = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    return Complexity(parameters(network), counter.get_total_flops() // 2 // batch, held // batch)
