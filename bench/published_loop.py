"""One step of the published training in plain torch: the alternative that bench/training.py measures ours against.

Written from the paper and from what is known of the published loop, with its habits: the discriminator's step keeps a
graph through the generator, its weights collect gradients in the generator's step, the source's embedding is computed
in both, instance normalisation is written out, features lie channels first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.faces.embedder import Embedder
from train import losses
from train.build import build_discriminator
from train.config import Recipe
from train.data.loader import Batch


class Styled(nn.Module):
    """Reflected border, 3x3, instance normalisation and style, each operation by itself."""

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


class Plain(nn.Module):
    """SimSwap's generator at 224: stem, three halvings, `blocks` identity blocks, three doublings, pixels."""

    def __init__(self, latent_dim: int, width: int, blocks: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        encoder: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.BatchNorm2d(width), nn.ReLU()]
        for level in range(3):
            wide = widths[level + 1]
            encoder += [nn.Conv2d(widths[level], wide, 3, 2, 1), nn.BatchNorm2d(wide), nn.ReLU()]
        decoder: list[nn.Module] = []
        for level in (2, 1, 0):
            narrow = widths[level]
            decoder += [nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(widths[level + 1], narrow, 3, 1, 1)]
            decoder += [nn.BatchNorm2d(narrow), nn.ReLU()]
        decoder += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7)]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
        self.first = nn.ModuleList(Styled(widths[-1], latent_dim) for _ in range(blocks))
        self.second = nn.ModuleList(Styled(widths[-1], latent_dim) for _ in range(blocks))

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        x = self.encoder(target)
        for first, second in zip(self.first, self.second, strict=True):
            x = x + second(F.relu(first(x, latent)), latent)
        return (torch.tanh(self.decoder(x)) + 1) / 2


class PublishedLoop:
    """Networks, optimisers, and batches that it goes through in turn."""

    def __init__(self, recipe: Recipe, embedder: Embedder, batches: list[Batch]) -> None:
        torch.manual_seed(0)
        self.recipe, self.embedder, self.batches = recipe, embedder, batches
        self.generator = Plain(embedder.dim, recipe.width, recipe.blocks)
        self.discriminator = build_discriminator(recipe)
        betas = (recipe.beta1, recipe.beta2)
        self.optimiser_g = torch.optim.Adam(self.generator.parameters(), recipe.learning_rate, betas)
        self.optimiser_d = torch.optim.Adam(self.discriminator.parameters(), recipe.learning_rate, betas)

    def step(self, turn: int) -> None:
        """One update of G and one of D, each on a batch of its own."""
        first, second = self.batches[:2] if turn % 2 == 0 else self.batches[2:]
        recipe, d = self.recipe, self.discriminator

        target, latent = self._read(first)
        fake = self.generator(target, latent)
        judged, wanted = d(fake), d(target)
        loss = recipe.adversarial * losses.hinge_g(judged)
        loss = loss + recipe.feature_matching * losses.weak_feature_matching(judged, wanted)
        loss = loss + recipe.identity * losses.identity_loss(self.embedder, fake, first.matrices, latent)
        if first.kind == "same":
            loss = loss + recipe.reconstruction * F.l1_loss(fake, target)
        self.optimiser_g.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser_g.step()

        target, latent = self._read(second)
        fake = self.generator(target, latent)
        self.optimiser_d.zero_grad()
        losses.hinge_d(d(target), d(fake.detach())).backward()  # type: ignore[no-untyped-call]
        self.optimiser_d.step()

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Target in [0, 1], and the source's embedding, computed anew."""
        assert batch.source is not None
        with torch.no_grad():
            latent = losses.embed(self.embedder, batch.source.float() / 255, batch.matrices)
        return (batch.target.float() / 255).contiguous(), latent
