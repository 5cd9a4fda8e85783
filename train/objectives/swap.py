"""The objective of generators that swap in one pass (Chen et al. 2020, SimSwap)."""

from contextlib import nullcontext

import torch
from torch import Tensor

from train import losses, mask_schedule
from train.build import Networks
from train.data.loader import Batch
from train.landmark_loss import build_landmark_loss
from train.networks.conditioning import conditioning
from train.networks.face_generator import FaceGenerator
from train.objectives.adversary import Adversary, target_input
from train.objectives.distillation import Distillation
from train.objectives.objective import Loss


def swap(networks: Networks, generator: FaceGenerator, batch: Batch, a: float) -> Tensor:
    """The batch's targets with the identities of its sources: (B, 3, S, S) in the generator's io space."""
    target = target_input(networks, batch)
    condition = conditioning(generator, batch.latents, networks.centre, batch.source_faces, batch.points)
    masks = batch.masks.to(target.dtype) if batch.masks is not None and networks.recipe.masked == "input" else None
    return mask_schedule.generate(generator, target, condition, masks, a)


class SwapObjective:
    """L_G = lambda_adv L_adv + lambda_wfm L_wfm + lambda_id L_id + lambda_rec L_rec (Chen et al. 2020, eq. 10).

    lambda_lm L_lm is added where its weight is not 0 (train/landmark_loss.py), and L_dist with a teacher
    (`train.objectives.distillation`).
    """

    def __init__(self, networks: Networks, distillation: Distillation | None = None) -> None:
        self.networks, self.recipe, self.distillation = networks, networks.recipe, distillation
        self.adversary = Adversary(networks)
        self.landmark_loss = build_landmark_loss(networks)

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        n, visible = self.networks, self.adversary.visible
        target = target_input(n, batch)
        collect = self.distillation.features(n.generator) if self.distillation else nullcontext(list[Tensor]())
        with collect as features:
            fake = swap(n, n.generator, batch, a)
        total, terms = self.adversary.generator_terms(visible(target, batch, a), visible(fake, batch, a))
        identity = losses.identity_loss(n.embedder, n.generator.to_rgb01(fake), batch.matrices, batch.latents, n.centre)
        total = total + self.recipe.identity * identity
        terms["identity"] = identity.detach()
        if self.landmark_loss:
            landmarks = self.landmark_loss(n.generator.to_rgb01(fake), batch.target.float() / 255, batch.matrices)
            total = total + self.recipe.landmarks * landmarks
            terms["landmarks"] = landmarks.detach()
        if batch.kind == "same":
            # Not masked: the background is to be reconstructed too.
            distance = losses.reconstruction(fake, target, batch.same_person)
            total = total + self.recipe.reconstruction * distance
            terms["reconstruction"] = distance.detach()
        if self.distillation:
            distilled, distances = self.distillation.terms(batch, fake, features)
            total, terms = total + distilled, terms | distances
        return Loss(total, terms, fake.detach())

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Loss:
        visible = self.adversary.visible
        target = target_input(self.networks, batch)
        if fake is None:
            with torch.no_grad():
                fake = swap(self.networks, self.networks.generator, batch, a)
        return self.adversary.discriminator_loss(visible(target, batch, a), visible(fake, batch, a), fake)
