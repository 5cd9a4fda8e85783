"""Losses of the generator and of the discriminator for one batch, as in the papers.

`SwapObjective` is for generators that swap in one pass (Chen et al. 2020, SimSwap), `DiffusionObjective` for the
denoising one, `PeopleObjective` for that of a few named people. `a` is the mask's weight (train/mask_schedule.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from train import losses, mask_schedule
from train.build import Networks, memory_format
from train.data.distortion import DistortedFaces, compose, distort
from train.data.loader import Batch
from train.errors import CheckpointError
from train.networks.conditioning import identity_conditioning
from train.networks.face_generator import FaceGenerator
from train.networks.latent_diffusion import LatentDiffusion
from train.networks.people import PeopleGenerator
from train.trained import TrainedGenerator, load_network

Terms = dict[str, Tensor]
"""Loss terms by name: scalars, unweighted, detached; the columns of the log."""


@dataclass(frozen=True)
class Loss:
    """One side's loss for a batch.

    Attributes:
        total: the weighted sum of the terms, with its graph.
        terms: the terms by name.
        fake: the generated images (B, 3, S, S), detached.
    """

    total: Tensor
    terms: Terms
    fake: Tensor


class Objective(Protocol):
    """The two losses of a training."""

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        """L_G of a batch, with the mask's weight `a`."""

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Loss:
        """L_D of a batch on `fake`, detached images of the same batch, which are generated if None."""


def build_objective(networks: Networks) -> Objective:
    """The objective of the recipe. Raises CheckpointError where its teacher does not fit."""
    recipe = networks.recipe
    if isinstance(networks.generator, PeopleGenerator):
        return PeopleObjective(networks, networks.generator)
    if not isinstance(networks.generator, LatentDiffusion):
        return SwapObjective(networks)
    if not recipe.teacher:
        return DiffusionObjective(networks, networks.generator)
    teacher = load_network(Path(recipe.teacher), networks.centre.device)
    if teacher.facts.embedder_id != networks.embedder.embedder_id:
        raise CheckpointError(
            f"{recipe.teacher}: its latents are of embedder {teacher.facts.embedder_id}, this training's of "
            f"{networks.embedder.embedder_id}: train the teacher with the same embedder"
        )
    return DiffusionObjective(networks, networks.generator, teacher)


def swap(networks: Networks, generator: FaceGenerator, batch: Batch, a: float) -> Tensor:
    """The batch's targets with the identities of its sources: (B, 3, S, S) in the generator's io space."""
    target = target_input(networks, batch)
    condition = identity_conditioning(batch.latents, networks.centre)
    masks = batch.masks.to(target.dtype) if batch.masks is not None and networks.recipe.masked == "input" else None
    return mask_schedule.generate(generator, target, condition, masks, a)


def target_input(networks: Networks, batch: Batch) -> Tensor:
    """The batch's targets in the generator's io space: float32 (B, 3, S, S), in the networks' memory format."""
    rgb01 = batch.target.float() / 255
    layout = memory_format(networks.recipe, networks.centre.device)
    return networks.generator.to_input(rgb01).contiguous(memory_format=layout)


class _Adversary:
    """The discriminator's side, which both objectives share."""

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


class SwapObjective:
    """L_G = lambda_adv L_adv + lambda_wfm L_wfm + lambda_id L_id + lambda_rec L_rec (Chen et al. 2020, eq. 10)."""

    def __init__(self, networks: Networks) -> None:
        self.networks, self.recipe = networks, networks.recipe
        self.adversary = _Adversary(networks)

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        n, visible = self.networks, self.adversary.visible
        target = target_input(n, batch)
        fake = swap(n, n.generator, batch, a)
        total, terms = self.adversary.generator_terms(visible(target, batch, a), visible(fake, batch, a))
        identity = losses.identity_loss(n.embedder, n.generator.to_rgb01(fake), batch.matrices, batch.latents, n.centre)
        total = total + self.recipe.identity * identity
        terms["identity"] = identity.detach()
        if batch.kind == "same":
            # Not masked: the background is to be reconstructed too.
            distance = losses.reconstruction(fake, target, batch.same_person)
            total = total + self.recipe.reconstruction * distance
            terms["reconstruction"] = distance.detach()
        return Loss(total, terms, fake.detach())

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Loss:
        visible = self.adversary.visible
        target = target_input(self.networks, batch)
        if fake is None:
            with torch.no_grad():
                fake = swap(self.networks, self.networks.generator, batch, a)
        return self.adversary.discriminator_loss(visible(target, batch, a), visible(fake, batch, a), fake)


class DiffusionObjective:
    """L_G = lambda_noise L_noise + lambda_rec L_rec + lambda_adv L_adv + lambda_wfm L_wfm + lambda_id L_id.

    Reconstruction and the adversary are computed on the truth passed through the autoencoder, the identity loss on the
    face estimated by one denoising step, weighted by the share of the signal that the noise left. The condition is the
    target swapped by the teacher with the identity of the next row, or the target itself, which the generator then
    coarsens.
    """

    def __init__(self, networks: Networks, generator: LatentDiffusion, teacher: TrainedGenerator | None = None) -> None:
        self.networks, self.recipe = networks, networks.recipe
        self.generator, self.teacher = generator, teacher
        self.adversary = _Adversary(networks)

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        n, recipe, visible = self.networks, self.recipe, self.adversary.visible
        target = target_input(n, batch)
        latent = identity_conditioning(batch.latents, n.centre)
        passed = self.generator.losses(target, self.condition(target, batch), latent, estimate=bool(recipe.identity))
        distance = (passed.decoded - target).abs().mean()
        total, terms = self.adversary.generator_terms(visible(target, batch, a), visible(passed.decoded, batch, a))
        total = total + recipe.noise * passed.noise + recipe.reconstruction * distance
        terms |= {"noise": passed.noise.detach(), "reconstruction": distance.detach()}
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


class PeopleObjective:
    """L_G = lambda_rec L_1 + lambda_struct L_ssim + L_class + r (lambda_adv L_adv + lambda_wfm L_wfm + lambda_id L_id).

    All on distorted photos of each person. L_1 and L_ssim are weighted by the recipe's mask: the face counts fully, the
    rest a little. L_class is the cross-entropy of a classifier of people on the code. Its gradient is reversed and
    multiplied by lambda_anon before it reaches the encoder (Ganin et al. 2016): the classifier learns to recognise
    people, and the encoder to hide them.

    r rises from 0 to 1 when reconstruction has learned the faces (`FaceGenerator.refinement`). Its losses are computed
    on faces pasted into their targets inside of the mask; where lambda_id is not 0, the first half of the batch is
    swapped, and L_id is computed on that half. The distortion, which blurs reconstructions because the undistorted
    shape cannot be known, fades out as r rises.
    """

    OUTSIDE = 0.1
    """Weight of pixels outside of the mask."""

    MARGIN = 2
    """Pixels by which the mask is widened, so that the edge of the face counts too."""

    CODE = 1e-3
    """Weight of the mean square of the codes, which keeps their scale."""

    def __init__(self, networks: Networks, generator: PeopleGenerator) -> None:
        self.networks, self.recipe, self.generator = networks, networks.recipe, generator
        self.adversary = _Adversary(networks)

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        recipe, generator = self.recipe, self.generator
        faces = self._distorted(batch)
        people = self._people(batch)
        code = generator.encode(faces.input)
        decoded = generator.decode(code, people)
        guesses = generator.classify(code, recipe.anonymity)
        with torch.autocast(decoded.device.type, enabled=False):
            margin = F.max_pool2d(faces.masks, 2 * self.MARGIN + 1, 1, self.MARGIN)
            target, weights = faces.target, self.OUTSIDE + (1 - self.OUTSIDE) * margin
            if decoded.shape[-1] != target.shape[-1]:
                target, weights = F.avg_pool2d(target, 2), F.avg_pool2d(weights, 2)
            terms = {
                "reconstruction": losses.weighted_mean((decoded - target).abs(), weights),
                "structure": losses.structure(decoded, target, weights),
                "classification": F.cross_entropy(guesses.float(), people),
            }
            total = recipe.reconstruction * terms["reconstruction"] + recipe.structure * terms["structure"]
            total = total + terms["classification"] + self.CODE * code.float().square().mean()
        if not generator.refinement:
            return Loss(total, {name: term.detach() for name, term in terms.items()}, decoded.detach())
        pasted = torch.lerp(faces.target, decoded, faces.masks)
        if recipe.identity:
            half = max(1, len(people) // 2)
            others = self._others(people[:half])
            swapped = torch.lerp(faces.target[:half], generator.decode(code[:half], others), faces.masks[:half])
            terms["identity"] = self._identity(batch, faces, swapped, others)
            total = total + generator.refinement * recipe.identity * terms["identity"]
            pasted = torch.cat([swapped, pasted[half:]])
        if recipe.trains_discriminator:
            refining, adversarial = self.adversary.generator_terms(faces.target, pasted)
            total = total + generator.refinement * refining
            terms |= adversarial
        return Loss(total, {name: term.detach() for name, term in terms.items()}, pasted.detach())

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Loss:
        # The seed of a part makes this the same distortion as that of the generator's update.
        faces = self._distorted(batch)
        if fake is None:
            with torch.no_grad():
                decoded = self.generator.decode(self.generator.encode(faces.input), self._people(batch))
                fake = torch.lerp(faces.target, decoded, faces.masks)
        return self.adversary.discriminator_loss(faces.target, fake, fake)

    def _distorted(self, batch: Batch) -> DistortedFaces:
        """The batch's targets, distorted, in the networks' memory format."""
        layout = memory_format(self.recipe, batch.target.device)
        with torch.autocast(batch.target.device.type, enabled=False):
            masks = None if batch.masks is None else batch.masks.float()
            rgb01 = (batch.target.float() / 255).contiguous(memory_format=layout)
            return distort(rgb01, masks, self.recipe.warp * (1 - self.generator.refinement))

    def _people(self, batch: Batch) -> Tensor:
        """The people's indices (B,)."""
        return self.generator.nearest(identity_conditioning(batch.latents, self.networks.centre))

    def _others(self, people: Tensor) -> Tensor:
        """Another person of the generator for each, drawn at random."""
        count = len(self.generator.names)
        return (people + torch.randint(1, count, people.shape, device=people.device)) % count

    def _identity(self, batch: Batch, faces: DistortedFaces, swapped: Tensor, people: Tensor) -> Tensor:
        """L_id of the first faces of a batch, swapped to `people`."""
        n, rows = self.networks, slice(0, len(swapped))
        matrices = compose(batch.matrices[rows], faces.matrices[rows])
        return losses.identity_loss(n.embedder, swapped, matrices, self.generator.latents[people], n.centre)
