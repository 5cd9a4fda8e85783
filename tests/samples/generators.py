"""Small generators and inputs for tests of networks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from train.networks.compact import CompactGenerator
from train.networks.convolutions import CONVOLUTIONS
from train.networks.face_generator import FaceGenerator
from train.networks.simswap import SimSwapGenerator


def simswap(**options: object) -> SimSwapGenerator:
    """Two blocks, four channels, latents of 16 numbers; the same weights in every call."""
    torch.manual_seed(1)
    defaults: dict[str, object] = {"latent_dim": 16, "blocks": 2, "width": 4}
    return SimSwapGenerator(**{**defaults, **options})  # type: ignore[arg-type]


def compact(**options: object) -> CompactGenerator:
    """The same of the compact generator."""
    torch.manual_seed(1)
    defaults: dict[str, object] = {"latent_dim": 16, "blocks": 2, "width": 4, "code_dim": 8}
    return CompactGenerator(**{**defaults, **options})  # type: ignore[arg-type]


GENERATORS = (*CONVOLUTIONS, "deep", "512", "shrunk and mapped", "compact")
"""Names for `generator`: every way to build a one-pass generator."""


def generator(name: str) -> FaceGenerator:
    """A generator of that name, with random weights."""
    if name in CONVOLUTIONS:
        return simswap(convolution=name)
    if name in ("deep", "512"):
        return simswap(variant=name)
    if name == "shrunk and mapped":
        return simswap(output="change", shrink=2, identity_map=2)
    assert name == "compact"
    return compact()


def faces(count: int = 2, size: int = 32, latent_dim: int = 16) -> tuple[Tensor, Tensor]:
    """Targets (N, 3, S, S) in [0, 1] and latents (N, D) of unit norm."""
    random = torch.Generator().manual_seed(2)
    latent = F.normalize(torch.randn(count, latent_dim, generator=random))
    return torch.rand(count, 3, size, size, generator=random), latent
