"""Parameters, multiply-adds and memory of a network, counted on torch's meta device: without data, in milliseconds."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Complexity:
    """Cost of a network.

    Attributes:
        parameters: number of parameters.
        macs: multiply-adds of the forward pass of one image.
        activation_bytes: memory that a training step stores for the backward pass of one image.
    """

    parameters: int
    macs: int
    activation_bytes: int

    def training_bytes(self, batch: int) -> int:
        """Estimated memory of a training step in float32: weights, gradients, Adam's two moments, and activations.

        Without workspaces of convolutions and fragmentation.
        """
        return 16 * self.parameters + batch * self.activation_bytes


def parameters(network: nn.Module) -> int:
    """Number of parameters, including frozen ones."""
    return sum(parameter.numel() for parameter in network.parameters())


def measure(
    network: nn.Module, *shapes: tuple[int, ...], run: Callable[..., object] = lambda network, *inputs: network(*inputs)
) -> Complexity:
    """Measure the cost per image of `run(network, *tensors)`, by default a forward pass.

    Multiply-adds are those of convolutions and matrix products, as papers count them, without normalisation,
    activations and resampling.

    Args:
        network: on any device; it is not changed.
        *shapes: of the float32 inputs, batch first.
        run: the function to measure.
    """
    shadow = copy.deepcopy(network).to("meta").train()
    inputs = [torch.empty(shape, device="meta") for shape in shapes]
    batch = shapes[0][0]
    saved: dict[int, Tensor] = {}
    weights = {parameter.untyped_storage()._cdata for parameter in shadow.parameters()}

    def save(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage()._cdata
        if address not in weights:
            saved[address] = tensor  # referenced, so that the address is not reused
        return tensor

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(save, lambda tensor: tensor):
        run(shadow, *inputs)
    activations = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    return Complexity(parameters(network), counter.get_total_flops() // 2 // batch, activations // batch)
