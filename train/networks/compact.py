"""A small generator of 2.2 G multiply-adds at 224 px.

Similar to SimSwap++ (Chen et al. 2024), whose code is not public: in place of AdaIN, which applies one function at all
positions, identity is injected by a convolution that depends on the identity and on the position. The design of that
convolution is our own.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.networks.convolutions import (
    CONVOLUTIONS,
    STYLE_SPREAD,
    Conditioned,
    Kind,
    LatentLinear,
    down,
    stem,
    to_pixels,
    up,
)
from train.networks.face_generator import FaceGenerator, IoSpace, Output
from train.networks.identity_injection import instance_norm
from train.networks.registry import register_generator


class SpatiallyVarying(Conditioned):
    """Depthwise 3x3 convolution with a kernel per image, channel and position.

    y_c(p) = sum_k a_k(p) (s_kc (W_kc * x_c)(p) + b_kc) with
    x: the features, instance-normalised; W: K shared kernels; s, b: scale and shift, linear in the identity code;
    a(p) = softmax_k(q_k . x(p) / sqrt(C)): mixture weights at position p, with queries q linear in the code.

    Cost: 9 K C multiply-adds per position, and 4 K C for the mixture.
    """

    def __init__(self, channels: int, code_dim: int, kernels: int = 4) -> None:
        super().__init__()
        self.channels, self.kernels = channels, kernels
        self.weight = nn.Parameter(torch.empty(channels * kernels, 1, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.style = nn.Linear(code_dim, 3 * kernels * channels)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        normal = instance_norm(x)  # (N, C, H, W)
        style = self.style(latent).float().view(len(x), 3, self.kernels, self.channels)
        scale, shift, query = style.unbind(1)  # (N, K, C) each
        logits = torch.einsum("nkc,nchw->nkhw", query, normal) / self.channels**0.5
        weights = logits.float().softmax(1)  # (N, K, H, W)
        responses = F.conv2d(normal, self.weight, None, 1, 1, groups=self.channels)
        responses = responses.view(len(x), self.channels, self.kernels, *x.shape[2:])
        responses = responses * (scale.transpose(1, 2) + 1)[..., None, None] + shift.transpose(1, 2)[..., None, None]
        y: Tensor = (responses * weights[:, None]).sum(2).to(x.dtype)
        return y


class CompactBlock(Conditioned):
    """Residual block: spatially varying convolution, then 1x1 to twice the channels, ReLU, and 1x1 back."""

    def __init__(self, channels: int, code_dim: int) -> None:
        super().__init__()
        self.inject = SpatiallyVarying(channels, code_dim)
        self.mix = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1), nn.ReLU(inplace=True), nn.Conv2d(2 * channels, channels, 1)
        )

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        y: Tensor = x + self.mix(self.inject(x, latent))
        return y


@register_generator("compact", "blocks", "width", "convolution", "io_space", "output", "shrink", "latent_rate")
class CompactGenerator(FaceGenerator):
    """Encoder, compact blocks, decoder.

    Args:
        latent_dim: D, dimension of the latents.
        blocks: number of compact blocks.
        width: channels after the first layer.
        convolution: convolutions of encoder and decoder.
        io_space, output, shrink: see `FaceGenerator`.
        code_dim: dimension of the identity code, a linear function of the latent, that the blocks read.
    """

    def __init__(
        self,
        latent_dim: int = 512,
        blocks: int = 6,
        width: int = 32,
        convolution: Kind = "separable",
        io_space: IoSpace = "rgb01_tanh",
        output: Output = "image",
        shrink: int = 1,
        *,
        code_dim: int = 128,
    ) -> None:
        super().__init__(latent_dim, io_space, output, shrink)
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.code = LatentLinear(latent_dim, code_dim)
        # Codes of unit latents have deviation 1, and the blocks' scales and shifts STYLE_SPREAD.
        nn.init.normal_(self.code.weight)
        self.first_layer = stem(width)
        self.encoder = nn.ModuleList(
            down(CONVOLUTIONS[convolution], narrow, wide, latent_dim) for narrow, wide in pairwise(widths)
        )
        self.blocks = nn.ModuleList(CompactBlock(widths[-1], code_dim) for _ in range(blocks))
        self.decoder = nn.ModuleList(
            up(CONVOLUTIONS[convolution], wide, narrow, latent_dim) for wide, narrow in pairwise(widths[::-1])
        )
        self.last_layer = to_pixels(width, small=output == "change")
        for block in self.blocks:
            assert isinstance(block, CompactBlock)
            nn.init.normal_(block.inject.style.weight, std=STYLE_SPREAD / code_dim**0.5)
            nn.init.zeros_(block.inject.style.bias)

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        self._check(target, latent)
        x: Tensor = self.first_layer(self._shrunk(target), latent)
        for stage in self.encoder:
            x = stage(x, latent)
        code = self.code(latent)
        for block in self.blocks:
            x = block(x, code)
        for stage in self.decoder:
            x = stage(x, latent)
        return self._finish(self.last_layer(x, latent), target)
