"""A small generator of 2.3 G multiply-adds at 224 px.

Similar to SimSwap++ (Chen et al. 2024), whose code is not public: in place of AdaIN, which applies one function at all
positions, identity is injected by convolutions that depend on the identity and on the position, in the encoder, the
blocks and the decoder (`spatially_varying`). The design of that convolution is our own. Recipe key `teacher` distils it
from a larger generator (`train.objectives.distillation`).
"""

from itertools import pairwise

from torch import Tensor, nn

from train.networks.conditioned import STYLE_SPREAD, Conditioned, LatentLinear
from train.networks.convolutions import CONVOLUTIONS, Kind, down, stem, to_pixels, up
from train.networks.face_generator import FaceGenerator, IoSpace, Output
from train.networks.registry import register_generator
from train.networks.spatially_varying import SpatiallyVarying

_KERNELS = 4  # shared kernels of a block's injection


class CompactBlock(Conditioned):
    """Residual block: spatially varying convolution, then 1x1 to twice the channels, ReLU, and 1x1 back."""

    def __init__(self, channels: int, code_dim: int) -> None:
        super().__init__()
        style = nn.Linear(code_dim, SpatiallyVarying.numbers(channels, _KERNELS))
        # Codes have deviation 1.
        nn.init.normal_(style.weight, std=STYLE_SPREAD / code_dim**0.5)
        nn.init.zeros_(style.bias)
        self.inject = SpatiallyVarying(channels, style, _KERNELS)
        self.mix = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1), nn.ReLU(inplace=True), nn.Conv2d(2 * channels, channels, 1)
        )

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        y: Tensor = x + self.mix(self.inject(x, latent))
        return y


@register_generator(
    "compact",
    *("blocks", "width", "convolution", "io_space", "output", "shrink", "latent_rate"),
    *("teacher", "distillation", "feature_distillation"),
)
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
        convolution: Kind = "conditional",
        io_space: IoSpace = "rgb01_tanh",
        output: Output = "image",
        shrink: int = 1,
        *,
        code_dim: int = 128,
    ) -> None:
        super().__init__(latent_dim, io_space, output, shrink)
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.code = LatentLinear(latent_dim, code_dim)
        # Codes of unit latents have deviation 1.
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

    def distilled_layers(self) -> list[nn.Module]:
        return [self.encoder[-1], self.blocks[-1], *self.decoder]

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
