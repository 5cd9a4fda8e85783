"""Layers that inject an identity into features: (N, C, H, W) and a latent (N, D) -> (N, C, H, W)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.networks.conditioned import STYLE_SPREAD, Conditioned, LatentLinear, instance_norm, is_channels_last


class Style(nn.Module):
    """AdaIN: x (scale + 1) + shift on normalised features, scale and shift linear in the latent."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.linear = LatentLinear(latent_dim, 2 * channels)
        nn.init.normal_(self.linear.weight, std=STYLE_SPREAD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """x: (N, C, H, W), normalised here; the result has its dtype and memory format."""
        scale, shift = self.linear(latent).float()[:, :, None, None].chunk(2, 1)  # (N, C, 1, 1) each
        y = torch.addcmul(shift, instance_norm(x), scale + 1).to(x.dtype)
        return y.contiguous(memory_format=torch.channels_last) if is_channels_last(x) else y


class IdentityBlock(Conditioned):
    """AdaIN residual block: twice (3x3 convolution, `Style`), ReLU between, plus the input; no activation after it."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.style1 = Style(latent_dim, channels)
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.style2 = Style(latent_dim, channels)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        y = self.style1(self.conv1(x), latent).relu()
        result: Tensor = x + self.style2(self.conv2(y), latent)
        return result

    def start_as_identity(self) -> None:
        """Initialise the block as the identity function: added to a trained generator, it changes no output."""
        with torch.no_grad():
            self.style2.linear.weight.zero_()
            self.style2.linear.bias.zero_()
            self.style2.linear.bias[: self.style2.linear.out_features // 2] = -1


class IdentityMap(Conditioned):
    """Adds a spatial map that is linear in the latent: x + mix(resize(M latent)).

    AdaIN applies the same function at all positions, so a network must first locate the parts of the face. In an
    aligned crop each position always shows the same part, and its appearance is learned directly, from few images. Not
    part of SimSwap; related to StyleGAN's learned constant input.
    """

    SIDE = 32  # of the map before it is resized to the features

    def __init__(self, channels: int, latent_dim: int, map_channels: int) -> None:
        super().__init__()
        self.linear = LatentLinear(latent_dim, map_channels * self.SIDE**2, bias=False)
        nn.init.normal_(self.linear.weight, std=STYLE_SPREAD)
        self.mix = nn.Conv2d(map_channels, channels, 1)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        spatial = self.linear(latent).view(len(x), -1, self.SIDE, self.SIDE)
        spatial = F.interpolate(spatial, size=x.shape[2:], mode="bilinear", align_corners=False)
        result: Tensor = x + self.mix(spatial)
        return result
