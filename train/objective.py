"""A batch and the two networks -> what the generator minimises and what the discriminator minimises, as in the papers.

Two generators, two objectives of one shape: `SwapObjective` for those that swap in one pass (Chen et al. 2020,
SimSwap), `DiffusionObjective` for the denoising one. `a` is the mask's weight (train/mask_schedule.py).
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from curate.faces.embedder import Embedder
from train import losses, mask_schedule
from train.config import Recipe
from train.data.loader import Batch
from train.networks.discriminator import MultiScalePatchGan
from train.networks.generator import FaceGenerator
from train.networks.latent_diffusion import LatentDiffusion

Terms = dict[str, Tensor]
"""Scalars by name, unweighted, without a graph: what the log shows."""


@dataclass(frozen=True)
class Made:
    """What one side of the game gives for a batch: the loss with its graph, its terms, the fake images without one."""

    loss: Tensor
    terms: Terms
    fake: Tensor


class Objective(Protocol):
    """Both sides of the game, for one batch. The discriminator's fakes are made anew where none are given."""

    def generator_loss(self, batch: Batch, a: float) -> Made: ...

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Made: ...


_NARROW = 32


def layout(recipe: Recipe, device: torch.device) -> torch.memory_format:
    """How features and weights lie in memory, the quickest way measured.

    On a GPU, and in narrow networks, channels last; on a CPU it makes the backward pass of wide convolutions 1.6 times
    as slow (width 64, 224 px), while at width 16 it saves 7% of a step.
    """
    return torch.channels_last if device.type == "cuda" or recipe.width < _NARROW else torch.contiguous_format


@dataclass
class Parts:
    """What an objective is made of. centre: (D,), what is taken off every latent; zeros where nothing is."""

    recipe: Recipe
    generator: FaceGenerator
    discriminator: MultiScalePatchGan
    embedder: Embedder
    centre: Tensor

    def target(self, batch: Batch) -> Tensor:
        """The target photos in the generator's space, float32, in the networks' layout."""
        rgb01 = batch.target.float() / 255
        return self.generator.to_input(rgb01).contiguous(memory_format=layout(self.recipe, self.centre.device))

    def identity(self, latents: Tensor) -> Tensor:
        """What the generator is told of a person: the latent less the centre, of unit norm."""
        return F.normalize(latents - self.centre)

    def seen(self, images: Tensor, batch: Batch, a: float) -> Tensor:
        """Images as the discriminator sees them."""
        if batch.masks is None or self.recipe.masked == "input":
            return images
        return mask_schedule.apply(images, batch.masks.to(images.dtype), a)

    def discriminator_terms(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Terms]:
        """L_D = L_hinge + lambda_gp L_gp, on detached fakes."""
        loss = losses.hinge_d(self.discriminator(real), self.discriminator(fake))
        terms = {"discriminator": loss.detach()}
        if self.recipe.gradient_penalty:
            penalty = losses.gradient_penalty(self.discriminator, losses.interpolate(real, fake), norm=1.0)
            loss = loss + self.recipe.gradient_penalty * penalty
            terms["gradient_penalty"] = penalty.detach()
        return loss, terms

    def adversarial_terms(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Terms]:
        """lambda_adv L_adv + lambda_wfm L_wfm."""
        verdict = self.discriminator(fake)
        with torch.no_grad():
            wanted = self.discriminator(real)
        adversarial = losses.hinge_g(verdict)
        matching = losses.weak_feature_matching(verdict, wanted)
        terms = {"adversarial": adversarial.detach(), "feature_matching": matching.detach()}
        return self.recipe.adversarial * adversarial + self.recipe.feature_matching * matching, terms


def swap(parts: Parts, generator: FaceGenerator, batch: Batch, a: float) -> Tensor:
    """The batch's targets with its sources' identities, (B, 3, S, S) in the generator's space."""
    target, identity = parts.target(batch), parts.identity(batch.latents)
    if batch.masks is None or parts.recipe.masked != "input":
        fake: Tensor = generator(target, identity)
        return fake
    masks = batch.masks.to(target.dtype)
    seen = mask_schedule.apply(target, masks, a).contiguous(memory_format=layout(parts.recipe, target.device))
    return mask_schedule.composite(generator(seen, identity), target, masks, a)


class SwapObjective:
    """L_G = lambda_adv L_adv + lambda_wfm L_wfm + lambda_id L_id + lambda_rec L_rec (Chen et al. 2020, eq. 10)."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def generator_loss(self, batch: Batch, a: float) -> Made:
        p, recipe = self.parts, self.parts.recipe
        target = p.target(batch)
        fake = swap(p, p.generator, batch, a)
        loss, terms = p.adversarial_terms(p.seen(target, batch, a), p.seen(fake, batch, a))
        identity = losses.identity_loss(p.embedder, p.generator.to_rgb01(fake), batch.matrices, batch.latents, p.centre)
        loss = loss + recipe.identity * identity
        terms["identity"] = identity.detach()
        if batch.kind == "same":
            # Unmasked: what lies around the face is to be kept.
            distance = losses.reconstruction(fake, target, batch.same_person)
            loss = loss + recipe.reconstruction * distance
            terms["reconstruction"] = distance.detach()
        return Made(loss, terms, fake.detach())

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Made:
        p = self.parts
        target = p.target(batch)
        if fake is None:
            with torch.no_grad():
                fake = swap(p, p.generator, batch, a)
        return Made(*p.discriminator_terms(p.seen(target, batch, a), p.seen(fake, batch, a)), fake)


@dataclass(frozen=True)
class Teacher:
    """A trained generator that makes the condition; `centre` (D,) is what its own training took off every latent."""

    generator: FaceGenerator
    centre: Tensor

    @torch.no_grad()
    def swap(self, rgb01: Tensor, latents: Tensor) -> Tensor:
        """Targets (N, 3, S, S) and embeddings (N, D) -> swapped targets; RGB in [0, 1] in and out."""
        identity = F.normalize(latents - self.centre)
        return self.generator.to_rgb01(self.generator(self.generator.to_input(rgb01), identity)).clamp(0, 1)


class DiffusionObjective:
    """L_G = lambda_noise L_noise + lambda_rec L_rec + lambda_adv L_adv + lambda_wfm L_wfm + lambda_id L_id.

    Reconstruction and the adversary see the truth through the autoencoder; identity sees the face that one denoising
    step estimates, weighted by how much of the truth the noise had left. The condition is the target swapped by
    `teacher`, with the next row's identity, or the target, which the generator then coarsens itself.
    """

    def __init__(self, parts: Parts, teacher: Teacher | None = None) -> None:
        if not isinstance(parts.generator, LatentDiffusion):
            raise TypeError(f"the diffusion objective trains LatentDiffusion, not {type(parts.generator).__name__}")
        self.parts, self.generator, self.teacher = parts, parts.generator, teacher

    def generator_loss(self, batch: Batch, a: float) -> Made:
        p, recipe = self.parts, self.parts.recipe
        target = p.target(batch)
        with_identity = bool(recipe.identity)
        found = self.generator.losses(
            target, self._condition(target, batch), p.identity(batch.latents), estimate=with_identity
        )
        distance = (found.decoded - target).abs().mean()
        loss, terms = p.adversarial_terms(p.seen(target, batch, a), p.seen(found.decoded, batch, a))
        loss = loss + recipe.noise * found.noise + recipe.reconstruction * distance
        terms |= {"noise": found.noise.detach(), "reconstruction": distance.detach()}
        if found.estimate is not None:
            faces = losses.embed(p.embedder, self.generator.to_rgb01(found.estimate), batch.matrices)
            each = 1 - F.cosine_similarity(faces - p.centre, batch.latents - p.centre)
            identity = (each * found.signal).sum() / found.signal.sum().clamp(min=1e-3)
            loss = loss + recipe.identity * identity
            terms["identity"] = identity.detach()
        return Made(loss, terms, found.decoded.detach())

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Made:
        p = self.parts
        target = p.target(batch)
        if fake is None:
            with torch.no_grad():
                fake = self.generator.decode(self.generator.encode(target))
        return Made(*p.discriminator_terms(p.seen(target, batch, a), p.seen(fake, batch, a)), fake)

    def _condition(self, target: Tensor, batch: Batch) -> Tensor:
        if self.teacher is None:
            return target
        p = self.parts
        swapped = self.teacher.swap(p.generator.to_rgb01(target), batch.latents.roll(1, 0))
        return p.generator.to_input(swapped)
