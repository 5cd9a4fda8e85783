"""One step of the published SimSwap training in plain PyTorch: the baseline of bench/training.py.

Written from the paper and from what is documented about the published loop, with its costs: the discriminator's update
keeps a graph through the generator, the generator's update accumulates gradients in the discriminator's weights, the
source embedding is computed in both, instance normalisation is composed of elementary operations, features are stored
channels first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.faces.embedder import Embedder
from train import losses
from train.build import build_discriminator
from train.config import Recipe
from train.data.loader import Batch


class AdaptiveConv(nn.Module):
    """3x3 convolution with reflection padding, instance normalisation and style (AdaIN), as separate operations."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.linear = nn.Linear(latent_dim, 2 * channels)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        x = self.conv(x)
        x = x - x.mean((2, 3), keepdim=True)
        x = x * torch.rsqrt((x * x).mean((2, 3), keepdim=True) + 1e-8)
        style = self.linear(latent).view(len(x), 2, -1, 1, 1)
        y: Tensor = x * (style[:, 0] + 1) + style[:, 1]
        return y


class PublishedGenerator(nn.Module):
    """SimSwap's generator at 224 px: three downsamplings, `blocks` identity blocks, three upsamplings."""

    def __init__(self, latent_dim: int, width: int, blocks: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        encoder: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.BatchNorm2d(width), nn.ReLU()]
        for level in range(3):
            channels = widths[level + 1]
            encoder += [nn.Conv2d(widths[level], channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()]
        decoder: list[nn.Module] = []
        for level in (2, 1, 0):
            channels = widths[level]
            decoder += [nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(widths[level + 1], channels, 3, 1, 1)]
            decoder += [nn.BatchNorm2d(channels), nn.ReLU()]
        decoder += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7)]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
        self.first = nn.ModuleList(AdaptiveConv(widths[-1], latent_dim) for _ in range(blocks))
        self.second = nn.ModuleList(AdaptiveConv(widths[-1], latent_dim) for _ in range(blocks))

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        x = self.encoder(target)
        for first, second in zip(self.first, self.second, strict=True):
            x = x + second(F.relu(first(x, latent)), latent)
        return (torch.tanh(self.decoder(x)) + 1) / 2


class PublishedLoop:
    """Networks and optimisers of the published loop.

    Args:
        recipe: sizes, learning rate and loss weights.
        embedder: frozen, computes latents and the identity loss.
        batches: four batches with decoded sources; even steps use the first two, odd steps the others.
        device: of the embedder and the batches.
    """

    def __init__(
        self, recipe: Recipe, embedder: Embedder, batches: list[Batch], device: torch.device | str = "cpu"
    ) -> None:
        torch.manual_seed(0)
        self.recipe, self.embedder, self.batches = recipe, embedder, batches
        self.generator = PublishedGenerator(embedder.dim, recipe.width, recipe.blocks).to(device)
        self.discriminator = build_discriminator(recipe).to(device)
        betas = (recipe.beta1, recipe.beta2)
        self.optimiser_g = torch.optim.Adam(self.generator.parameters(), recipe.learning_rate, betas)
        self.optimiser_d = torch.optim.Adam(self.discriminator.parameters(), recipe.learning_rate, betas)

    def step(self, turn: int) -> None:
        """Update G on one batch, then D on another."""
        first, second = self.batches[:2] if turn % 2 == 0 else self.batches[2:]
        recipe, discriminator = self.recipe, self.discriminator

        target, latent = self._read(first)
        fake = self.generator(target, latent)
        verdict, reference = discriminator(fake), discriminator(target)
        loss = recipe.adversarial * losses.hinge_g(verdict)
        loss = loss + recipe.feature_matching * losses.weak_feature_matching(verdict, reference)
        loss = loss + recipe.identity * losses.identity_loss(self.embedder, fake, first.matrices, latent)
        if first.kind == "same":
            loss = loss + recipe.reconstruction * F.l1_loss(fake, target)
        self.optimiser_g.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser_g.step()

        target, latent = self._read(second)
        fake = self.generator(target, latent)
        self.optimiser_d.zero_grad()
        losses.hinge_d(discriminator(target), discriminator(fake.detach())).backward()  # type: ignore[no-untyped-call]
        self.optimiser_d.step()

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the targets in [0, 1], and the embeddings of the sources, computed at every call."""
        assert batch.source is not None
        with torch.no_grad():
            latent = losses.embed(self.embedder, batch.source.float() / 255, batch.matrices)
        return (batch.target.float() / 255).contiguous(), latent
