"""The 3x3 convolutions that a generator's down and up path can be built of: features (N, C, H, W) in and out.

`CONVOLUTIONS` names them. All pad by one zero, have a bias, and cost what their docstring says, in multiply-adds for a
pixel that comes out, with C channels in and O out.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Kind = Literal["standard", "separable", "modulated", "dynamic"]

_SMALL = 0.1  # of the usual start of a last layer's weights: changes of about 0.03


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of a pixel of x (N, C, H, W) lie together in memory, and x is not plain as well."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Autocast switched off on x's device; nothing to switch off where tensors are only counted (meta)."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


class Conditioned(nn.Module):
    """A layer that is called with the features and the identity latent (N, D); `Stage` knows it by this type."""


class LatentLinear(nn.Linear):
    """A linear layer that reads the latent itself; a recipe's `latent_rate` finds it by this type.

    The numbers of a unit vector are about 1 / sqrt(D). Adam moves every weight by the learning rate, so what this layer
    gives moves by a rate sqrt(D) times smaller than a layer's whose inputs have deviation 1.
    """


class Stage(nn.Sequential):
    """Layers one after another, the latent handed to those that take it; None will do where none does."""

    def forward(self, x: Tensor, latent: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x, latent) if isinstance(layer, Conditioned) else layer(x)
        return x


class DepthwiseSeparable(nn.Module):
    """A 3x3 kernel for each channel, then 1x1 across channels (Howard et al. 2017): 9 C + C O."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


class Modulated(Conditioned):
    """The latent scales the input's channels, and the output is brought back to unit variance: 9 C O.

    Modulation and demodulation of StyleGAN2 (Karras et al. 2020, eq. 1 and 3). Scaling input and output is the same
    as scaling each person's kernel, and lets the whole batch share one convolution.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, *, latent_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1)
        self.style = LatentLinear(latent_dim, channels_in)
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
    """Each photo gets its own mixture of K kernels (Chen et al. 2020): 9 C O, and 9 K C O once for each photo.

    The weights of the mixture are a softmax over what two 1x1 layers make of the photo's mean features. Kernels are
    mixed, not results, so that no K-fold features exist, and the batch is one convolution with a group a photo. With
    `checkpointing` the mixed kernels (N, O, C, 3, 3) are made again in the backward pass instead of being kept. The
    attention starts uniform, which is what the paper's high first temperature is for.
    """

    def __init__(
        self, channels_in: int, channels_out: int, stride: int = 1, *, kernels: int = 4, checkpointing: bool = True
    ) -> None:
        super().__init__()
        self.stride = stride
        self.checkpointing = checkpointing
        # Three dimensions: a network that is moved to channels_last leaves it as it is.
        self.weight = nn.Parameter(torch.empty(kernels, channels_out, channels_in * 9))
        self.bias = nn.Parameter(torch.zeros(kernels, channels_out))
        for kernel in self.weight:
            nn.init.kaiming_uniform_(kernel, a=5**0.5)  # as of a linear layer with 9 C inputs: what nn.Conv2d does
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
        photos, channels, height, width = x.shape
        out = self.weight.shape[1]
        mixed = (shares @ self.weight.flatten(1).to(shares.dtype)).view(photos * out, channels, 3, 3)
        bias = (shares @ self.bias.to(shares.dtype)).view(-1)
        y = F.conv2d(x.reshape(1, -1, height, width), mixed, bias, self.stride, 1, groups=photos)
        y = y.view(photos, out, *y.shape[2:])
        return y.contiguous(memory_format=torch.channels_last) if is_channels_last(x) else y


class PathConvolution(Protocol):
    """Makes a 3x3 convolution from the channels in, the channels out, the stride and the latent's size."""

    def __call__(self, channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module: ...


def _standard(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return nn.Conv2d(channels_in, channels_out, 3, stride, 1)


def _separable(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return DepthwiseSeparable(channels_in, channels_out, stride)


def _modulated(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return Modulated(channels_in, channels_out, stride, latent_dim=latent_dim)


def _dynamic(channels_in: int, channels_out: int, stride: int, latent_dim: int) -> nn.Module:
    return Dynamic(channels_in, channels_out, stride)


CONVOLUTIONS: dict[Kind, PathConvolution] = {
    "standard": _standard,
    "separable": _separable,
    "modulated": _modulated,
    "dynamic": _dynamic,
}


def down(make: PathConvolution, channels_in: int, channels_out: int, latent_dim: int) -> Stage:
    """Features (N, C, H, W) -> (N, O, H/2, W/2): convolution of stride 2, batch normalisation, ReLU."""
    return Stage(make(channels_in, channels_out, 2, latent_dim), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


def up(make: PathConvolution, channels_in: int, channels_out: int, latent_dim: int) -> Stage:
    """Features (N, C, H, W) -> (N, O, 2H, 2W): bilinear, convolution, batch normalisation, ReLU."""
    return Stage(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        make(channels_in, channels_out, 1, latent_dim),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def stem(channels_out: int) -> Stage:
    """Pixels (N, 3, H, W) -> features (N, O, H, W): reflected border, 7x7, batch normalisation, ReLU."""
    return Stage(
        nn.ReflectionPad2d(3), nn.Conv2d(3, channels_out, 7), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)
    )


def to_pixels(channels_in: int, *, small: bool = False) -> Stage:
    """Features (N, C, H, W) -> three channels (N, 3, H, W), no activation: reflected border, 7x7.

    `small`: numbers near 0 at first.
    """
    last = nn.Conv2d(channels_in, 3, 7)
    if small:
        with torch.no_grad():
            last.weight.mul_(_SMALL)
            assert last.bias is not None
            last.bias.zero_()
    return Stage(nn.ReflectionPad2d(3), last)
