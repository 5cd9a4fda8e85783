"""SimSwap's generator: a target face (N, 3, S, S) and an identity latent (N, D) -> the target with that identity.

Chen et al. 2020, "SimSwap: An Efficient Framework For High Fidelity Face Swapping". Module names are those of the
published checkpoints. What a network takes and gives as pixels is its `io_space`; `to_input` and `to_rgb01` are the
only places that translate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.errors import ModelError
from train.networks.convolutions import CONVOLUTIONS, Kind, down, stem, to_pixels, up
from train.networks.identity_injection import IdentityBlock, IdentityMap

IoSpace = Literal["rgb01_tanh", "imagenet"]
"""rgb01_tanh: RGB in [0, 1] in, (tanh + 1) / 2 out, as published checkpoints. imagenet: RGB less ImageNet's mean, over
its deviation, in and out, nothing bounding the output, as the published training code."""

Variant = Literal["224", "deep", "512"]
"""224: three halvings. deep: a fourth, down4 and up4. 512: a stem of half the width, then down0 and up0."""

Output = Literal["image", "change"]
"""image: the last layer gives the image, as published. change: it gives what is added to the target, in either space,
nothing bounding the sum; a new generator starts near the identity, so that what it learns first is the face. It may
do so on a smaller copy of the target (`shrink`): details that it does not change stay as sharp as they are."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FaceGenerator(nn.Module):
    """What training and swapping need of a generator, whatever is inside: pixel spaces, and target + latent -> image.

    Subclasses have `forward(target, latent)`: target (N, 3, S, S) in the generator's own space, S a multiple of
    `multiple_of` times `shrink`; latent (N, `latent_dim`) of unit norm; the image comes back in that space, float32.
    """

    mean: Tensor
    std: Tensor
    multiple_of = 8

    def __init__(self, latent_dim: int, io_space: IoSpace, output: Output = "image", shrink: int = 1) -> None:
        super().__init__()
        if io_space not in get_args(IoSpace):
            raise ModelError(f"unknown io_space {io_space!r}; one of {', '.join(get_args(IoSpace))}")
        if output not in get_args(Output):
            raise ModelError(f"unknown output {output!r}; one of {', '.join(get_args(Output))}")
        if shrink > 1 and output != "change":
            raise ModelError(f"a generator that sees its target shrunk by {shrink} must give a change, not {output!r}")
        self.latent_dim = latent_dim
        self.io_space: IoSpace = io_space
        self.output: Output = output
        self.shrink = shrink
        # Not in the state dict: its names are those of the published checkpoints.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def to_input(self, rgb01: Tensor) -> Tensor:
        """RGB in [0, 1] -> the generator's own space."""
        return (rgb01 - self.mean) / self.std if self.io_space == "imagenet" else rgb01

    def to_rgb01(self, image: Tensor) -> Tensor:
        """The generator's own space -> RGB, [0, 1] but for what an unbounded output overshoots: clamp to store."""
        return image * self.std + self.mean if self.io_space == "imagenet" else image

    def _shrunk(self, target: Tensor) -> Tensor:
        """The target as the first layer sees it: each pixel the mean of `shrink` by `shrink`."""
        return F.avg_pool2d(target, self.shrink) if self.shrink > 1 else target

    def _finish(self, image: Tensor, target: Tensor | None = None) -> Tensor:
        """The last layer's numbers, any range, and the target they may change -> the generator's space, float32."""
        image = image.float()
        if self.output == "change":
            assert target is not None
            if self.shrink > 1:
                image = F.interpolate(image, size=target.shape[2:], mode="bilinear", align_corners=False)
            return target + image
        return (image.tanh() + 1) / 2 if self.io_space == "rgb01_tanh" else image

    def _check(self, target: Tensor, latent: Tensor) -> None:
        height, width = target.shape[-2:]
        sides = self.multiple_of * self.shrink
        if height % sides or width % sides:
            raise ValueError(f"sides must be multiples of {sides}, got {height}x{width}")
        if latent.shape != (len(target), self.latent_dim):
            raise ValueError(f"latents must be ({len(target)}, {self.latent_dim}), got {tuple(latent.shape)}")


@dataclass(frozen=True)
class Shape:
    """What the tensors of a state dict say about the generator they belong to; for the words of errors."""

    variant: Variant
    width: int
    blocks: int
    latent_dim: int

    def __str__(self) -> str:
        return f"variant {self.variant!r}, width {self.width}, {self.blocks} blocks, latent {self.latent_dim}"

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Self | None:
        """The shape of a generator with these tensors; None where they are not a generator's."""
        first, style = state.get("first_layer.1.weight"), state.get("BottleNeck.0.style1.linear.weight")
        if first is None or style is None:
            return None
        variant: Variant = "512" if "down0.0.weight" in state else "deep" if "down4.0.weight" in state else "224"
        blocks = {name.split(".")[1] for name in state if name.startswith("BottleNeck.")}
        return cls(variant, len(first) * (2 if variant == "512" else 1), len(blocks), style.shape[1])


class Generator(FaceGenerator):
    """Encoder, identity blocks, decoder.

    `width` is that of the published network, 64; `convolution` is the kind in the down and up path. `identity_map`: so
    many channels of an `IdentityMap` before the last stage of the up path, none as published. With `progressive`,
    blocks after the first start as the identity, so that opening one (`active_blocks`) disturbs nothing.
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
        progressive: bool = False,
    ) -> None:
        super().__init__(latent_dim, io_space, output, shrink)
        if convolution not in CONVOLUTIONS:
            raise ModelError(f"unknown convolution {convolution!r}; one of {', '.join(CONVOLUTIONS)}")
        if variant not in get_args(Variant):
            raise ModelError(f"unknown variant {variant!r}; one of {', '.join(get_args(Variant))}")
        make = CONVOLUTIONS[convolution]
        self.variant: Variant = variant
        # Width after the stem and after each halving, and the number in the name of the first of these.
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
            self.add_module(name, down(make, narrow, wide, latent_dim))
        self.BottleNeck = nn.ModuleList(IdentityBlock(widths[-1], latent_dim) for _ in range(blocks))
        self._up = [f"up{level}" for level in reversed(levels)]
        for name, wide, narrow in zip(self._up, widths[:0:-1], widths[-2::-1], strict=True):
            self.add_module(name, up(make, wide, narrow, latent_dim))
        self.identity_map = IdentityMap(widths[1], latent_dim, identity_map) if identity_map else None
        self.last_layer = to_pixels(widths[0], small=output == "change")

        self._active = blocks
        self._frozen = 0
        if progressive:
            for block in self._blocks[1:]:
                block.start_as_identity()

    @property
    def _blocks(self) -> list[IdentityBlock]:
        return [block for block in self.BottleNeck if isinstance(block, IdentityBlock)]

    @property
    def active_blocks(self) -> int:
        """How many identity blocks the features pass, 1 to all; the others are skipped and do not learn.

        Not part of the state dict: set it from the number of images seen (`Progression`), also after a resume.
        """
        return self._active

    @active_blocks.setter
    def active_blocks(self, count: int) -> None:
        if not 1 <= count <= len(self.BottleNeck):
            raise ValueError(f"active_blocks must be 1 to {len(self.BottleNeck)}, got {count}")
        self._active = count
        self._choose_what_learns()

    def freeze_before(self, block: int) -> None:
        """Blocks 0 to `block` - 1 stop learning and, where `block` > 0, so does the encoder, its running statistics
        included; from `block` on, and the decoder, everything learns. 0 frees all.

        Optimisers skip parameters without a gradient; DistributedDataParallel must be built anew.
        """
        if not 0 <= block <= len(self.BottleNeck):
            raise ValueError(f"freeze_before takes 0 to {len(self.BottleNeck)}, got {block}")
        self._frozen = block
        self._choose_what_learns()

    def _encoder(self) -> list[nn.Module]:
        return [self.first_layer, *(self.get_submodule(name) for name in self._down)]

    def _choose_what_learns(self) -> None:
        for part in self._encoder():
            part.requires_grad_(self._frozen == 0)
        for index, block in enumerate(self.BottleNeck):
            block.requires_grad_(self._frozen <= index < self._active)
            for parameter in block.parameters():
                if not parameter.requires_grad:
                    parameter.grad = None
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self._frozen:
            for part in self._encoder():
                part.eval()
        return self

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

    def load_published(self, state: Mapping[str, Tensor], io_space: IoSpace) -> None:
        """Loads a state dict with the published names, strictly, and takes on `io_space`, which it does not tell.

        Tensors of another variant or size, or not of this generator, are a ModelError that says what would fit.
        """
        if io_space not in get_args(IoSpace):
            raise ModelError(f"unknown io_space {io_space!r}; one of {', '.join(get_args(IoSpace))}")
        if self.output != "image":
            raise ModelError(f"published generators give the image, this one {self.output!r}: build it with 'image'")
        if self.identity_map is not None:
            raise ModelError("published generators have no identity map: build this one with identity_map=0")
        wanted, given = Shape.of(self.state_dict()), Shape.of(state)
        if given is None:
            raise ModelError(
                "these tensors are not a SimSwap generator's: first_layer.1.weight or BottleNeck.0.style1.linear.weight"
                f" is missing among {len(state)}; bring the generator's own state dict"
            )
        if given != wanted:
            raise ModelError(
                f"these tensors belong to a generator of {given}, and this one is of {wanted}: build "
                f"Generator(variant={given.variant!r}, width={given.width}, blocks={given.blocks}, "
                f"latent_dim={given.latent_dim}) for them"
            )
        try:
            self.load_state_dict(dict(state), strict=True)
        except RuntimeError as error:
            raise ModelError(f"these tensors do not load into a generator of {wanted}: {error}") from error
        self.io_space = io_space
