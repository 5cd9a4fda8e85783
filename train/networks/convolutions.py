"""3x3 convolutions of a generator's encoder and decoder, and the stages built of them; features are (N, C, H, W).

`CONVOLUTIONS` is the table by name. All pad with one zero and have a bias. Docstrings give the cost in multiply-adds
per output pixel, for C input and O output channels.
"""

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from train.networks.conditioned import STYLE_SPREAD, Conditioned, LatentLinear, full_precision, is_channels_last
from train.networks.spatially_varying import ConditionalSeparable

Kind = Literal["standard", "separable", "modulated", "dynamic", "conditional"]

_SMALL = 0.1  # factor on the initial weights of a last layer, which then outputs about 0.03


class Stage(nn.Sequential):
    """Layers in sequence; those of type `Conditioned` get the latent too, which may be None where there is none."""

    def forward(self, x: Tensor, latent: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x, latent) if isinstance(layer, Conditioned) else layer(x)
        return x


class DepthwiseSeparable(nn.Module):
    """Depthwise 3x3 convolution, then pointwise 1x1 (Howard et al. 2017). Cost: 9 C + C O."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


class Modulated(Conditioned):
    """The latent scales the input channels; the output is scaled back to unit variance. Cost: 9 C O.

    Modulation and demodulation of StyleGAN2 (Karras et al. 2020, eq. 1 and 3). Scaling input and output is equal to
    scaling the kernel for each image, and needs one convolution for the whole batch.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, *, latent_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1)
        self.style = LatentLinear(latent_dim, channels_in)
        nn.init.normal_(self.style.weight, std=STYLE_SPREAD)
        nn.init.ones_(self.style.bias)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        scale = self.style(latent).float()  # (N, C)
        with full_precision(x):
            energy = self.conv.weight.float().square().sum((2, 3))  # (O, C)
            # sigma_o = sqrt(sum_c s_c^2 sum_k w_ock^2)
            demodulation = torch.rsqrt(scale.square() @ energy.T + 1e-8)  # (N, O)
        x = x * scale.to(x.dtype)[:, :, None, None]
        x = F.conv2d(x, self.conv.weight, None, self.conv.stride, self.conv.padding)
        bias = self.conv.bias
        assert bias is not None
        return x * demodulation.to(x.dtype)[:, :, None, None] + bias.to(x.dtype)[:, None, None]


class Dynamic(nn.Module):
    """Dynamic convolution (Chen et al. 2020): a mixture of K kernels per image. Cost: 9 C O, plus 9 K C O per image.

    The mixture weights are the softmax of two linear layers on the image's mean features. Kernels are mixed, not
    results, so that features are not stored K times; the batch is one convolution with one group per image. The
    attention starts uniform, which replaces the paper's high initial temperature.

    Args:
        channels_in: C.
        channels_out: O.
        stride: 1 or 2.
        kernels: K.
        checkpointing: recompute the mixed kernels (N, O, C, 3, 3) in the backward pass instead of storing them.
    """

    def __init__(
        self, channels_in: int, channels_out: int, stride: int = 1, *, kernels: int = 4, checkpointing: bool = True
    ) -> None:
        super().__init__()
        self.stride = stride
        self.checkpointing = checkpointing
        # Three dimensions, because Module.to(memory_format=...) fails on parameters of five.
        self.weight = nn.Parameter(torch.empty(kernels, channels_out, channels_in * 9))
        self.bias = nn.Parameter(torch.zeros(kernels, channels_out))
        for kernel in self.weight:
            nn.init.kaiming_uniform_(kernel, a=5**0.5)  # as nn.Conv2d: a linear layer of 9 C inputs
        hidden = max(4, channels_in // 4)
        self.attention = nn.Sequential(nn.Linear(channels_in, hidden), nn.ReLU(), nn.Linear(hidden, kernels))
        last = self.attention[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        shares = self.attention(x.mean((2, 3))).softmax(1)  # (N, K)
        if self.checkpointing and torch.is_grad_enabled():
            y: Tensor = checkpoint(self._convolve, x, shares, use_reentrant=False)
            return y
        return self._convolve(x, shares)

    def _convolve(self, x: Tensor, shares: Tensor) -> Tensor:
        images, channels, height, width = x.shape
        out = self.weight.shape[1]
        mixed = (shares @ self.weight.flatten(1).to(shares.dtype)).view(images * out, channels, 3, 3)
        bias = (shares @ self.bias.to(shares.dtype)).view(-1)
        y = F.conv2d(x.reshape(1, -1, height, width), mixed, bias, self.stride, 1, groups=images)
        y = y.view(images, out, *y.shape[2:])
        return y.contiguous(memory_format=torch.channels_last) if is_channels_last(x) else y


class PathConvolution(Protocol):
    """Builds a 3x3 convolution."""

    def __call__(self, channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module: ...


def _standard(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return nn.Conv2d(channels_in, channels_out, 3, stride, 1)


def _separable(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return DepthwiseSeparable(channels_in, channels_out, stride)


def _modulated(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return Modulated(channels_in, channels_out, stride, latent_dim=latent_dim)


def _dynamic(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return Dynamic(channels_in, channels_out, stride)


def _conditional(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return ConditionalSeparable(channels_in, channels_out, stride, latent_dim=latent_dim)


CONVOLUTIONS: dict[Kind, PathConvolution] = {
    "standard": _standard,
    "separable": _separable,
    "modulated": _modulated,
    "dynamic": _dynamic,
    "conditional": _conditional,
}


def down(build: PathConvolution, channels_in: int, channels_out: int, latent_dim: int) -> Stage:
    """Encoder stage, (N, C, H, W) -> (N, O, H/2, W/2): convolution of stride 2, batch normalisation, ReLU."""
    return Stage(build(channels_in, channels_out, 2, latent_dim), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


def up(build: PathConvolution, channels_in: int, channels_out: int, latent_dim: int) -> Stage:
    """Decoder stage, (N, C, H, W) -> (N, O, 2H, 2W): bilinear x2, convolution, batch normalisation, ReLU."""
    return Stage(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        build(channels_in, channels_out, 1, latent_dim),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def stem(channels_out: int) -> Stage:
    """First layer, (N, 3, H, W) -> (N, O, H, W): reflection padding, 7x7, batch normalisation, ReLU."""
    return Stage(
        nn.ReflectionPad2d(3), nn.Conv2d(3, channels_out, 7), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)
    )


def to_pixels(channels_in: int, *, small: bool = False) -> Stage:
    """Last layer, (N, C, H, W) -> (N, 3, H, W): reflection padding, 7x7, no activation.

    small: initialise it to outputs near 0.
    """
    last = nn.Conv2d(channels_in, 3, 7)
    if small:
        with torch.no_grad():
            last.weight.mul_(_SMALL)
            assert last.bias is not None
            last.bias.zero_()
    return Stage(nn.ReflectionPad2d(3), last)
