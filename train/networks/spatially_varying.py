"""Depthwise convolution whose kernel depends on the identity and on the position, and a stage's convolution of it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.networks.conditioned import STYLE_SPREAD, Conditioned, LatentLinear, instance_norm, is_channels_last


class SpatiallyVarying(Conditioned):
    """Depthwise 3x3 convolution with a kernel per image, channel and position.

    y_c(p) = sum_k a_k(p) (s_kc (W_kc * x_c)(p) + b_kc) with
    x: the features, instance-normalised; W: K shared kernels; s, b: scale and shift, linear in the identity code;
    a(p) = softmax_k(q_k . x(p) / sqrt(C)): mixture weights at position p, with queries q linear in the code.

    Cost: 9 K C multiply-adds per output position, and K C for the mixture.

    Args:
        channels: C.
        style: linear layer from the identity code to `numbers(C, K)` outputs: scales, shifts and queries.
        kernels: K.
        stride: 1 or 2.
    """

    def __init__(self, channels: int, style: nn.Linear, kernels: int = 4, stride: int = 1) -> None:
        super().__init__()
        self.channels, self.kernels, self.stride = channels, kernels, stride
        self.weight = nn.Parameter(torch.empty(channels * kernels, 1, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.style = style

    @staticmethod
    def numbers(channels: int, kernels: int) -> int:
        """Outputs of `style`."""
        return 3 * kernels * channels

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        normal = instance_norm(x)  # (N, C, H, W)
        style = self.style(latent).float().view(len(x), 3, self.kernels, self.channels)
        scale, shift, query = style.unbind(1)  # (N, K, C) each
        at = normal[:, :, :: self.stride, :: self.stride]
        logits = torch.einsum("nkc,nchw->nkhw", query, at) / self.channels**0.5
        weights = logits.float().softmax(1)  # (N, K, H, W) of the output
        responses = F.conv2d(normal, self.weight, None, self.stride, 1, groups=self.channels)
        responses = responses.view(len(x), self.channels, self.kernels, *responses.shape[2:])
        responses = responses * (scale.transpose(1, 2) + 1)[..., None, None] + shift.transpose(1, 2)[..., None, None]
        y: Tensor = (responses * weights[:, None]).sum(2).to(x.dtype)
        return y.contiguous(memory_format=torch.channels_last) if is_channels_last(x) else y


class ConditionalSeparable(Conditioned):
    """`SpatiallyVarying` on the latent itself, then a pointwise 1x1 convolution. Cost: 10 K C + C O.

    The input is instance-normalised, so that a stage keeps the arrangement of its features and not their scale.
    """

    KERNELS = 2
    """Shared kernels, fewer than in a block, because stages have up to 64 times as many positions."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, *, latent_dim: int) -> None:
        super().__init__()
        style = LatentLinear(latent_dim, SpatiallyVarying.numbers(channels_in, self.KERNELS))
        nn.init.normal_(style.weight, std=STYLE_SPREAD)
        nn.init.zeros_(style.bias)
        self.depthwise = SpatiallyVarying(channels_in, style, self.KERNELS, stride)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x, latent))
        return y
