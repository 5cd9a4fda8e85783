"""SimSwap's generator: encoder, identity blocks, decoder.

Chen et al. 2020, "SimSwap: An Efficient Framework For High Fidelity Face Swapping". Module names are those of the
published checkpoints.
"""

from typing import Literal, Self, get_args

from torch import Tensor, nn

from train.networks.convolutions import CONVOLUTIONS, Kind, down, stem, to_pixels, up
from train.networks.face_generator import FaceGenerator, IoSpace, Output, require_known
from train.networks.identity_injection import IdentityBlock, IdentityMap
from train.networks.registry import register_generator

Variant = Literal["224", "deep", "512"]
"""224: three halvings. deep: a fourth one, down4 and up4. 512: a stem of half the width, then down0 and up0, as the
published 512 checkpoint."""


@register_generator(
    "simswap",
    "blocks",
    "width",
    "convolution",
    "variant",
    "io_space",
    "output",
    "shrink",
    "identity_map",
    "block_share",
    "latent_rate",
    "teacher",
    "distillation",
    "feature_distillation",
    "landmarks",
)
class SimSwapGenerator(FaceGenerator):
    """Encoder, AdaIN residual blocks, decoder; the defaults are the published network (55,051,779 parameters).

    Args:
        latent_dim: D, dimension of the latents.
        blocks: number of identity blocks.
        width: channels after the stem, 64 as published (32 in the stem of variant 512).
        convolution: convolutions of the encoder's and decoder's stages.
        variant: number of halvings.
        io_space, output, shrink: see `FaceGenerator`.
        identity_map: channels of an `IdentityMap` before the last stage of the decoder; 0, as published, has none.
        block_share: progressive injection: training starts with one identity block, and one more is opened after each
            such share of its images, while the earlier ones and the encoder freeze. `set_progress` opens them; until
            its first call, and with 0, all are open. Blocks after the first are initialised as the identity function,
            so that opening one changes no output.
        images: of the whole training, for `block_share`.
    """

    def __init__(
        self,
        latent_dim: int = 512,
        blocks: int = 9,
        width: int = 64,
        convolution: Kind = "standard",
        variant: Variant = "224",
        io_space: IoSpace = "rgb01_tanh",
        output: Output = "image",
        shrink: int = 1,
        *,
        identity_map: int = 0,
        block_share: float = 0.0,
        images: int = 0,
    ) -> None:
        super().__init__(latent_dim, io_space, output, shrink)
        require_known("convolution", convolution, tuple(CONVOLUTIONS))
        require_known("variant", variant, get_args(Variant))
        build = CONVOLUTIONS[convolution]
        # Channels after the stem and after each halving, and the number in the name of the first halving.
        widths = [width, 2 * width, 4 * width, 8 * width]
        first = 1
        if variant == "512":
            widths, first = [width // 2, *widths], 0
        elif variant == "deep":
            widths = [*widths, 8 * width]
        self.multiple_of = 2 ** (len(widths) - 1)
        levels = range(first, first + len(widths) - 1)

        self.first_layer = stem(widths[0])
        self._down = [f"down{level}" for level in levels]
        for name, narrow, wide in zip(self._down, widths[:-1], widths[1:], strict=True):
            self.add_module(name, down(build, narrow, wide, latent_dim))
        self.BottleNeck = nn.ModuleList(IdentityBlock(widths[-1], latent_dim) for _ in range(blocks))
        self._up = [f"up{level}" for level in reversed(levels)]
        for name, wide, narrow in zip(self._up, widths[:0:-1], widths[-2::-1], strict=True):
            self.add_module(name, up(build, wide, narrow, latent_dim))
        self.identity_map = IdentityMap(widths[1], latent_dim, identity_map) if identity_map else None
        self.last_layer = to_pixels(widths[0], small=output == "change")

        self.images_per_block = max(1, round(block_share * images)) if block_share else 0
        self._active = blocks
        self._frozen = 0
        if self.images_per_block:
            for block in self._blocks[1:]:
                block.start_as_identity()

    def distilled_layers(self) -> list[nn.Module]:
        block = self.BottleNeck[self._active - 1]
        return [self.get_submodule(self._down[-1]), block, *(self.get_submodule(name) for name in self._up)]

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        self._check(target, latent)
        x: Tensor = self.first_layer(self._shrunk(target), latent)
        for name in self._down:
            x = self.get_submodule(name)(x, latent)
        for block in self.BottleNeck[: self._active]:
            x = block(x, latent)
        for name in self._up:
            if name == self._up[-1] and self.identity_map is not None:
                x = self.identity_map(x, latent)
            x = self.get_submodule(name)(x, latent)
        return self._finish(self.last_layer(x, latent), target)

    def set_progress(self, images: int) -> None:
        """Progressive injection: open one more block for each `block_share`; only the newest of them learns.

        When a block opens, the earlier ones and the encoder freeze. The founding report used a ninth of its 900k steps.
        """
        if not self.images_per_block:
            return
        active = min(len(self.BottleNeck), 1 + images // self.images_per_block)
        if (active, active - 1) != (self._active, self._frozen):
            self.active_blocks = active
            self.freeze_before(active - 1)

    @property
    def active_blocks(self) -> int:
        """Number of identity blocks in use, 1 to all; the others are skipped and frozen. Not in the state dict."""
        return self._active

    @active_blocks.setter
    def active_blocks(self, count: int) -> None:
        if not 1 <= count <= len(self.BottleNeck):
            raise ValueError(f"active_blocks must be 1 to {len(self.BottleNeck)}, got {count}")
        self._active = count
        self._set_requires_grad()

    def freeze_before(self, block: int) -> None:
        """Freeze blocks 0 to `block` - 1 and, if `block` > 0, the encoder with its running statistics; 0 frees all.

        Optimisers skip parameters without a gradient; DistributedDataParallel must be constructed anew.
        """
        if not 0 <= block <= len(self.BottleNeck):
            raise ValueError(f"freeze_before takes 0 to {len(self.BottleNeck)}, got {block}")
        self._frozen = block
        self._set_requires_grad()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all modules; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self._frozen:
            for part in self._encoder():
                part.eval()
        return self

    @property
    def _blocks(self) -> list[IdentityBlock]:
        return [block for block in self.BottleNeck if isinstance(block, IdentityBlock)]

    def _encoder(self) -> list[nn.Module]:
        return [self.first_layer, *(self.get_submodule(name) for name in self._down)]

    def _set_requires_grad(self) -> None:
        for part in self._encoder():
            part.requires_grad_(self._frozen == 0)
        for index, block in enumerate(self.BottleNeck):
            block.requires_grad_(self._frozen <= index < self._active)
            for parameter in block.parameters():
                if not parameter.requires_grad:
                    parameter.grad = None
        self.train(self.training)
