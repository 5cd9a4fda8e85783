"""The objective of the denoising generator."""

import torch
import torch.nn.functional as F
from torch import Tensor

from train import losses
from train.build import Networks
from train.data.loader import Batch
from train.networks.conditioning import identity_conditioning
from train.networks.latent_diffusion import LatentDiffusion
from train.objectives.adversary import Adversary, target_input
from train.objectives.objective import Loss
from train.trained import TrainedGenerator


class DiffusionObjective:
    """L_G = lambda_v L_v + lambda_rec L_rec + lambda_adv L_adv + lambda_wfm L_wfm + lambda_id L_id.

    Reconstruction and the adversary are computed on the truth passed through the autoencoder, the identity loss on the
    face estimated by one denoising step, weighted by the share of the signal that the noise left. The condition is the
    target swapped by the teacher with the identity of the next row, or the target itself, which the generator then
    coarsens.
    """

    def __init__(self, networks: Networks, generator: LatentDiffusion, teacher: TrainedGenerator | None = None) -> None:
        self.networks, self.recipe = networks, networks.recipe
        self.generator, self.teacher = generator, teacher
        self.adversary = Adversary(networks)

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        n, recipe, visible = self.networks, self.recipe, self.adversary.visible
        target = target_input(n, batch)
        latent = identity_conditioning(batch.latents, n.centre)
        passed = self.generator.losses(target, self.condition(target, batch), latent, estimate=bool(recipe.identity))
        distance = (passed.decoded - target).abs().mean()
        total, terms = self.adversary.generator_terms(visible(target, batch, a), visible(passed.decoded, batch, a))
        total = total + recipe.velocity * passed.velocity + recipe.reconstruction * distance
        terms |= {"velocity": passed.velocity.detach(), "reconstruction": distance.detach()}
        if passed.estimate is not None:
            faces = losses.embed(n.embedder, self.generator.to_rgb01(passed.estimate), batch.matrices)
            distances = 1 - F.cosine_similarity(faces - n.centre, batch.latents - n.centre)  # (B,)
            identity = (distances * passed.signal).sum() / passed.signal.sum().clamp(min=1e-3)
            total = total + recipe.identity * identity
            terms["identity"] = identity.detach()
        return Loss(total, terms, passed.decoded.detach())

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Loss:
        visible = self.adversary.visible
        target = target_input(self.networks, batch)
        if fake is None:
            with torch.no_grad():
                fake = self.generator.decode(self.generator.encode(target))
        return self.adversary.discriminator_loss(visible(target, batch, a), visible(fake, batch, a), fake)

    @torch.no_grad()
    def condition(self, target: Tensor, batch: Batch) -> Tensor:
        """The condition image (B, 3, S, S) in the generator's io space, for targets in that space."""
        if self.teacher is None:
            return target
        latents = self.teacher.condition(batch.latents.roll(1, 0))
        return self.generator.to_input(self.teacher.generate(self.generator.to_rgb01(target), latents))
