"""Layers of generators that draw a person from a narrow code of the target (`people`, `general`)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.networks.conditioned import full_precision

PERSON_DIM = 128
"""Numbers of the vector by which a person modulates the decoder."""

WIDEST = 8
"""The widest layers have so many times the channels of the last ones."""

SLOPE = 0.2
"""Of leaky ReLUs."""

_REFINEMENT_RAMP = 4_000  # images in which the weight of the refining losses rises from 0 to 1
_STYLE_SPREAD = 0.3  # deviation of a new layer's scales over people, around 1
_MAX_CONSTANT_SIDE = 7  # px; the decoder's first features are 4 to 7 px wide


def decoder_side(size: int) -> int | None:
    """Side of the decoder's first features, 4 to 7 px: `size` divided by a power of 2; None where there is none."""
    while size > _MAX_CONSTANT_SIDE and size % 2 == 0:
        size //= 2
    return size if 4 <= size <= _MAX_CONSTANT_SIDE else None


def refinement_at(images: int, start: int) -> float:
    """Weight of the refining losses after so many images, 0 to 1: it rises from `start` on."""
    return min(1.0, max(0, images - start) / _REFINEMENT_RAMP)


class PersonConvolution(nn.Module):
    """3x3 or 1x1 convolution whose input channels are scaled by a linear function of the person's vector.

    As in StyleGAN2 (eq. 1 and 3), the output is divided by sigma_o = sqrt(sum_c s_c^2 sum_k w_ock^2) unless it is a
    layer of pixels; scaling features is equal to scaling the kernel, and needs one convolution for the whole batch.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, *, demodulate: bool = True) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.style = nn.Linear(PERSON_DIM, channels_in)
        with torch.no_grad():
            self.weight.mul_((channels_in * kernel**2) ** -0.5)
            self.style.weight.normal_(std=_STYLE_SPREAD * PERSON_DIM**-0.5)
            self.style.bias.fill_(1)

    def forward(self, x: Tensor, person: Tensor) -> Tensor:
        """x: (N, C, H, W). person: (N, P). Returns (N, O, H, W)."""
        scale = self.style(person).float()  # (N, C)
        y = F.conv2d(x * scale.to(x.dtype)[:, :, None, None], self.weight, None, 1, self.weight.shape[-1] // 2)
        bias = self.bias.to(y.dtype)[:, None, None]
        if not self.demodulate:
            return y + bias
        with full_precision(x):
            energy = self.weight.float().square().sum((2, 3))  # (O, C)
            # The gain keeps the variance through a leaky ReLU.
            gain = 2**0.5 * torch.rsqrt(scale.square() @ energy.T + 1e-8)  # (N, O)
        return torch.addcmul(bias, y, gain.to(y.dtype)[:, :, None, None])


def double(x: Tensor) -> Tensor:
    """(N, C, H, W) at twice the resolution, bilinearly."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def encoder(width: int, halvings: int) -> nn.Sequential:
    """Convolutions of stride 2 and 1 in turn, each with a leaky ReLU, that halve the resolution so many times."""
    layers: list[nn.Module] = []
    channels = 3
    for index in range(halvings):
        wide = encoder_width(width, index + 1)
        for stride in (2, 1):
            layers += [convolution(channels, wide, stride), nn.LeakyReLU(SLOPE)]
            channels = wide
    return nn.Sequential(*layers)


def encoder_width(width: int, halvings: int) -> int:
    """Channels of the encoder after so many halvings: `width` after the first, twice as many after each other one."""
    return width * min(WIDEST, 1 << (halvings - 1))


def convolution(channels_in: int, channels_out: int, stride: int) -> nn.Conv2d:
    """A 3x3 convolution before a leaky ReLU: its weights keep the variance, its bias is zero at first."""
    layer = nn.Conv2d(channels_in, channels_out, 3, stride, 1)
    assert layer.bias is not None
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    nn.init.zeros_(layer.bias)
    return layer
