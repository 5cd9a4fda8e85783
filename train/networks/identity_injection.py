"""Blocks that put an identity into features: (N, C, H, W) and a latent (N, D) -> (N, C, H, W)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.networks.convolutions import Conditioned, LatentLinear, full_precision, is_channels_last

EPSILON = 1e-8
"""Added to the variance in instance normalisation; below what float16 can tell from zero, hence float32 throughout."""

STYLE_SPREAD = 0.25
"""Standard deviation of a new block's scale and shift over latents of unit length.

With a linear layer's usual start it would be 0.6 / sqrt(D), 0.026 at 512: every person would look the same at first.
"""


def instance_norm(x: Tensor) -> Tensor:
    """Features (N, C, H, W) -> float32, each channel of each photo at mean 0 and variance 1 (biased), no parameters."""
    with full_precision(x):
        # A group a channel is instance normalisation. This kernel is the quickest of five ways to say it on a CPU
        # (backward 4x faster than var_mean), and only on planes that lie together.
        return F.group_norm(x.float().contiguous(), x.shape[1], eps=EPSILON)


class Style(nn.Module):
    """The latent's say on normalised features: x (scale + 1) + shift, both linear in the latent."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.linear = LatentLinear(latent_dim, 2 * channels)
        nn.init.normal_(self.linear.weight, std=STYLE_SPREAD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """x: as it comes from a convolution, (N, C, H, W); it is instance-normalised here. The type stays x's."""
        scale, shift = self.linear(latent).float()[:, :, None, None].chunk(2, 1)  # (N, C, 1, 1) each
        y = torch.addcmul(shift, instance_norm(x), scale + 1).to(x.dtype)
        return y.contiguous(memory_format=torch.channels_last) if is_channels_last(x) else y


class IdentityBlock(Conditioned):
    """AdaIN residual block: twice (3x3, instance normalisation, style), ReLU between, the input added at the end."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.style1 = Style(latent_dim, channels)
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.style2 = Style(latent_dim, channels)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        y = self.style1(self.conv1(x), latent).relu()
        added: Tensor = x + self.style2(self.conv2(y), latent)
        return added

    def start_as_identity(self) -> None:
        """Gives back its input until it has learned otherwise: a block added to a trained generator changes nothing."""
        with torch.no_grad():
            self.style2.linear.weight.zero_()
            self.style2.linear.bias.zero_()
            self.style2.linear.bias[: self.style2.linear.out_features // 2] = -1


class IdentityMap(Conditioned):
    """Adds to the features a map that is linear in the latent: (N, C, H, W) + mix(resized(M latent)).

    AdaIN says the same at every place, so a network must first find out where the eyes are. In an aligned crop a place
    is always the same part of the face, and what a person has there is learned directly, from few images. Not in
    SimSwap; the learned input of StyleGAN is its relative.
    """

    SIDE = 32

    def __init__(self, channels: int, latent_dim: int, map_channels: int) -> None:
        super().__init__()
        self.linear = LatentLinear(latent_dim, map_channels * self.SIDE**2, bias=False)
        nn.init.normal_(self.linear.weight, std=STYLE_SPREAD)
        self.mix = nn.Conv2d(map_channels, channels, 1)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        places = self.linear(latent).view(len(x), -1, self.SIDE, self.SIDE)
        places = F.interpolate(places, size=x.shape[2:], mode="bilinear", align_corners=False)
        added: Tensor = x + self.mix(places)
        return added
