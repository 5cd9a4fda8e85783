"""The discriminator's side of an objective, and its input."""

import torch
from torch import Tensor

from train import losses, mask_schedule
from train.build import Networks, memory_format
from train.data.loader import Batch
from train.objectives.objective import Loss, Terms


def target_input(networks: Networks, batch: Batch) -> Tensor:
    """The batch's targets in the generator's io space: float32 (B, 3, S, S), in the networks' memory format."""
    rgb01 = batch.target.float() / 255
    layout = memory_format(networks.recipe, networks.centre.device)
    return networks.generator.to_input(rgb01).contiguous(memory_format=layout)


class Adversary:
    """The discriminator's side, which the objectives share."""

    def __init__(self, networks: Networks) -> None:
        self.networks, self.recipe = networks, networks.recipe

    def visible(self, images: Tensor, batch: Batch, a: float) -> Tensor:
        """The discriminator's input: images (B, 3, S, S), masked if the recipe's `masked` is "discriminator"."""
        if batch.masks is None or self.recipe.masked == "input":
            return images
        return mask_schedule.apply(images, batch.masks.to(images.dtype), a)

    def generator_terms(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Terms]:
        """lambda_adv L_adv + lambda_wfm L_wfm."""
        output = self.networks.discriminator(fake)
        with torch.no_grad():
            reference = self.networks.discriminator(real)
        adversarial = losses.hinge_g(output)
        matching = losses.weak_feature_matching(output, reference)
        terms = {"adversarial": adversarial.detach(), "feature_matching": matching.detach()}
        return self.recipe.adversarial * adversarial + self.recipe.feature_matching * matching, terms

    def discriminator_loss(self, real: Tensor, fake: Tensor, generated: Tensor) -> Loss:
        """L_D = L_hinge + lambda_gp L_gp, on detached fakes; `generated` are the fakes before masking."""
        discriminator = self.networks.discriminator
        total = losses.hinge_d(discriminator(real), discriminator(fake))
        terms = {"discriminator": total.detach()}
        if self.recipe.gradient_penalty:
            penalty = losses.gradient_penalty(discriminator, losses.interpolate(real, fake), norm=1.0)
            total = total + self.recipe.gradient_penalty * penalty
            terms["gradient_penalty"] = penalty.detach()
        return Loss(total, terms, generated)
