"""Exponential moving average (EMA) of a network's weights."""

import torch
from torch import Tensor, nn

_RAMP = 0.05  # the half-life is at most this share of the images so far


def ema_decay(batch: int, images: int, half_life: float) -> float:
    """beta = 2^(-batch / min(half_life, 0.05 images)), for an update after `images` images, `batch` of them new."""
    half_life = min(half_life, _RAMP * images)
    return 0.5 ** (batch / half_life) if half_life else 0.0


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, beta: float) -> None:
    """theta_ema = beta theta_ema + (1 - beta) theta for parameters; buffers are copied."""
    averages: list[Tensor] = list(average.parameters())
    weights: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(averages, weights, 1 - beta)
    for copied, buffer in zip(average.buffers(), network.buffers(), strict=True):
        copied.copy_(buffer)
