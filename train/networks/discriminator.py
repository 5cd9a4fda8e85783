"""Discriminators: images (N, 3, S, S) -> logits (real > 0) and hidden features at several scales."""

from itertools import pairwise
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

DiscriminatorOutput = list[tuple[Tensor, list[Tensor]]]
"""One entry per scale, finest first: logits (N, 1, h, w), and the features after each hidden layer, shallow to deep."""


class Discriminator(Protocol):
    """The interface that the losses need: a PatchGAN, or a discriminator on the features of a frozen network."""

    def __call__(self, image: Tensor) -> DiscriminatorOutput: ...


class PatchGan(nn.Module):
    """Discriminator of overlapping patches (Isola et al. 2017): 4x4 convolutions, four halvings.

    Channels 3, w, 2w, 4w, 8w (stride 2), 8w, 1 (stride 1); batch normalisation in all but first and last; leaky ReLU.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.hidden = nn.ModuleList()
        for index, (channels_in, channels_out) in enumerate(pairwise(widths)):
            layers: list[nn.Module] = [nn.Conv2d(channels_in, channels_out, 4, 2 if index < 4 else 1, 1)]
            if index > 0:
                layers.append(nn.BatchNorm2d(channels_out))
            self.hidden.append(nn.Sequential(*layers, nn.LeakyReLU(0.2)))
        self.last = nn.Conv2d(widths[-1], 1, 4, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, features = image, []
        for layer in self.hidden:
            x = layer(x)
            features.append(x)
        return self.last(x), features


class MultiScalePatchGan(nn.Module):
    """PatchGANs on the image and on its repeated halvings by 3x3 averages of stride 2 (Wang et al. 2018).

    6,962,369 parameters per scale at width 64.
    """

    def __init__(self, width: int = 64, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchGan(width) for _ in range(scales))

    def forward(self, image: Tensor) -> DiscriminatorOutput:
        outputs: DiscriminatorOutput = []
        for index, patches in enumerate(self.scales):
            if index > 0:
                image = F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
            outputs.append(patches(image))
        return outputs
