"""A generator for people it has never seen: it moves and relights the source's pixels by the target's code.

The code is that of `people` (train/networks/people.py): too narrow for a face, but it holds pose, expression and light.
The source's crop is warped to the target's five landmarks before (`source_warp`). From code, source and latent, a
decoder computes a flow, which moves the source's pixels on to the target's expression, and a change of their colours on
a coarse grid, which is light. It draws no pixels of its own: where it may, reconstruction teaches it within some
thousand images to draw a blurred face from the code, since a blurred face is nearer to the truth than a sharp one that
is a pixel off, and the person is lost (bench/RESULTS.md). Moving and relighting do not depend on who is shown, and both
are learned from few images; what the source does not show, such as teeth, cannot appear.

It is learned by reconstruction of a photo from another one of the same person, then refined by an identity loss on
swaps (train/objectives/general.py).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.errors import ModelError
from train.networks.face_generator import FaceGenerator
from train.networks.person_layers import (
    PERSON_DIM,
    SLOPE,
    WIDEST,
    PersonConvolution,
    convolution,
    decoder_side,
    double,
    encoder,
    encoder_width,
    refinement_at,
)
from train.networks.registry import register_generator

_SOURCE_WIDEST = 4  # the widest layers of the source's encoder have so many times the channels of its first one
_SOURCE_VECTOR = 256  # numbers of the source's encoder that reach the person's vector
_UNWARPED = 2  # levels, from the coarsest, that take the source's features as they are: the flow is below their pixels
_LIGHT_LEVELS = 2  # levels, from the coarsest, that change colours: at most 14 px wide, too coarse for facial features
_MAX_MOTION = 0.25  # of the flow of a level, half sides of the image


class _Level(nn.Module):
    """Two convolutions at one resolution, and what they add to the flow and, in coarse levels, to the colours."""

    def __init__(self, channels_in: int, channels_out: int, *, light: bool) -> None:
        super().__init__()
        self.first = PersonConvolution(channels_in, channels_out)
        self.second = PersonConvolution(channels_out, channels_out)
        self.light = nn.Conv2d(channels_out, 3, 1) if light else None
        self.flow = nn.Conv2d(channels_out, 2, 3, 1, 1)
        for layer in (self.light, self.flow):
            if layer is not None:
                nn.init.normal_(layer.weight, std=0.01 * channels_out**-0.5)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, person: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features, flow, and light; None at the levels without it."""
        for layer in (self.first, self.second):
            x = F.leaky_relu(layer(x, person), SLOPE)
        motion = self.flow(x).float()
        # Beyond the photo the flow has no gradient, so that training could not correct it.
        motion = motion / (1 + motion.abs() / _MAX_MOTION)
        return x, motion, None if self.light is None else self.light(x).float()


@register_generator("general", "bottleneck", "width", "refine_images", "warp", "structure", "features", "consistency")
class GeneralGenerator(FaceGenerator):
    """Encoders of target and source at half the resolution, and a decoder up to a quarter of it.

    Its second input is the latent (N, D) followed by the source's crop, warped to the target, RGB in [0, 1], as
    3 S^2 numbers.

    Args:
        latent_dim: D, dimension of the latents.
        size: S, side of the crops, px.
        bottleneck: numbers of the code.
        width: channels of the encoder's first layer.
        refine_images: images after which the refining losses start.
    """

    multiple_of = 16
    reads_source = True
    face_only = True
    spread: Tensor

    def __init__(
        self, latent_dim: int, size: int, bottleneck: int = 96, width: int = 16, refine_images: int = 0
    ) -> None:
        super().__init__(latent_dim, "rgb01_tanh")
        side = decoder_side(size // 2)
        if side is None or size % 2:
            raise ModelError(f"size = {size} must be 4, 5, 6 or 7 times a power of 2")
        self.size, self.side, self.refine_images = size, side, refine_images
        halvings = (size // 2 // side).bit_length() - 1
        widths = [width * min(WIDEST, 2**level) for level in range(halvings, 0, -1)]
        self.channels = widths[0]
        self.encoder = encoder(width, halvings)
        self.to_code = nn.Linear(encoder_width(width, halvings) * side**2, bottleneck)
        self.from_code = nn.Linear(bottleneck, widths[0] * side**2)
        sources = [width * min(_SOURCE_WIDEST, 2**level) for level in range(halvings + 1)]
        self.source = nn.ModuleList([convolution(3, sources[0], 1)])
        for narrow, wide in pairwise(sources):
            self.source.append(
                nn.Sequential(convolution(narrow, wide, 2), nn.LeakyReLU(SLOPE), convolution(wide, wide, 1))
            )
        self.to_vector = nn.Linear(sources[-1] * side**2, _SOURCE_VECTOR)
        self.to_person = nn.Sequential(
            nn.Linear(latent_dim + _SOURCE_VECTOR, 256), nn.LeakyReLU(SLOPE), nn.Linear(256, PERSON_DIM)
        )
        self.constant = nn.Linear(PERSON_DIM, widths[0] * side**2, bias=False)
        nn.init.normal_(self.constant.weight, std=0.5 * PERSON_DIM**-0.5)
        extra = sources[:0:-1]
        self.levels = nn.ModuleList(
            _Level(widths[max(0, index - 1)] + extra[index], channels, light=index < _LIGHT_LEVELS)
            for index, channels in enumerate(widths)
        )
        # spread: the usual distance between two photos of a person, at which the identity loss ends.
        self.register_buffer("spread", torch.zeros(()))

    @property
    def condition_dim(self) -> int:
        return self.latent_dim + 3 * self.size**2

    def set_progress(self, images: int) -> None:
        """Raise the weight of the refining losses after `refine_images` images."""
        self.refinement = refinement_at(images, self.refine_images)

    def set_spread(self, spread: float) -> None:
        """Set the usual cosine distance between two photos of a person, at which the identity loss ends."""
        self.spread.fill_(spread)

    def encode(self, rgb01: Tensor) -> Tensor:
        """Targets (N, 3, S, S), RGB in [0, 1] -> codes (N, `bottleneck`)."""
        code: Tensor = self.to_code(self.encoder(F.avg_pool2d(rgb01, 2) - 0.5).flatten(1))
        return code

    def decode(self, code: Tensor, condition: Tensor) -> Tensor:
        """Codes and the second input -> faces, float32 RGB not clamped, (N, 3, S, S)."""
        latent, source = condition[:, : self.latent_dim], condition[:, self.latent_dim :]
        source = source.float().view(-1, 3, self.size, self.size)
        features = self._features(F.avg_pool2d(source, 2))
        person = self._person(latent, features[0])
        x = F.leaky_relu(self.from_code(code) + self.constant(person), SLOPE)
        x = x.view(-1, self.channels, self.side, self.side).contiguous(memory_format=torch.channels_last)
        flow = x.new_zeros(len(x), 2, self.side, self.side, dtype=torch.float32)
        light = x.new_zeros(len(x), 3, self.side, self.side, dtype=torch.float32)
        for index, level in enumerate(self.levels):
            if index:
                x, flow = double(x), double(flow)
            added = features[index]
            if index >= _UNWARPED:
                added = _moved(added.float(), flow)
            x, motion, change = level(torch.cat([x, added.to(x.dtype)], 1), person)
            flow = flow + motion
            if change is not None:
                light = (double(light) if index else light) + change
        return _moved(source, _enlarged(flow, self.size)) + _enlarged(light, self.size)

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        self._check(target, latent)
        return self.decode(self.encode(target), latent).clamp(0, 1)

    def _features(self, half: Tensor) -> list[Tensor]:
        """Features of the source at every resolution of the decoder, coarsest first."""
        x, features = half - 0.5, []
        for layer in self.source:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return features[:0:-1]

    def _person(self, latent: Tensor, coarsest: Tensor) -> Tensor:
        """Vectors (N, `PERSON_DIM`) of mean square 1."""
        vector = F.leaky_relu(self.to_vector(coarsest.flatten(1)), SLOPE)
        # Components of a unit vector are about 1 / sqrt(D).
        person: Tensor = self.to_person(torch.cat([latent * self.latent_dim**0.5, vector], 1))
        return person * torch.rsqrt(person.float().square().mean(1, keepdim=True) + 1e-6)


def _enlarged(x: Tensor, side: int) -> Tensor:
    """Enlarge (N, C, h, w) to side x side: cubic, because bilinear enlargement of a flow bends lines at its cells."""
    return F.interpolate(x, size=(side, side), mode="bicubic", align_corners=False)


def _moved(images: Tensor, flow: Tensor) -> Tensor:
    """Images (N, C, H, W) read at their pixels plus flow (N, 2, H, W), x and y in half sides of the image."""
    side = images.shape[-1]
    line = (2 * torch.arange(side, device=images.device) + 1) / side - 1
    grid = torch.stack([line.expand(side, side), line[:, None].expand(side, side)], 2) + flow.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
