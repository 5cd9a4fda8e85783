"""The objective of the generator of a few named people."""

import torch
import torch.nn.functional as F
from torch import Tensor

from train import losses
from train.build import Networks, memory_format
from train.data.distortion import DistortedFaces, compose, distort, invert, transform
from train.data.loader import Batch
from train.networks.conditioning import identity_conditioning
from train.networks.people import PeopleGenerator
from train.objectives.adversary import Adversary
from train.objectives.objective import Loss

_FEATURE_RADIUS = 0.06  # deviation of the bells around eyes and mouth, in sides of the crop: about an eye's half width


class PeopleObjective:
    """L_G = lambda_rec L_1 + lambda_struct L_ssim + L_class + lambda_anon L_anon + r (L_swap + L_sharp).

    All on distorted photos of each person. L_1 and L_ssim are weighted by the recipe's mask, the face fully and the
    rest a little, and by 1 + lambda_feat around eyes and mouth. L_class is the cross-entropy of a classifier of people
    on the code, which trains the classifier alone; L_anon trains the encoder to leave it without a preference.

    r rises from 0 to 1 when reconstruction has learned the faces (`FaceGenerator.refinement`). Its losses are computed
    on faces pasted into their targets inside of the mask: L_sharp = lambda_adv L_adv + lambda_wfm L_wfm. The first half
    of the batch is swapped for them, and L_swap = lambda_id L_id + lambda_con L_con is computed on that half: L_id is
    the distance to the person's mean latent, as far as it exceeds that of the person's photos, L_con the squared
    distance between the codes of target and swap, relative to the codes' variance. The distortion, which blurs
    reconstructions because the undistorted shape cannot be known, fades out as r rises.
    """

    OUTSIDE = 0.1
    """Weight of pixels outside of the mask."""

    MARGIN = 2
    """Pixels by which the mask is widened, so that the edge of the face counts too."""

    CODE = 1e-3
    """Weight of the mean square of the codes, which keeps their scale."""

    def __init__(self, networks: Networks, generator: PeopleGenerator) -> None:
        self.networks, self.recipe, self.generator = networks, networks.recipe, generator
        self.adversary = Adversary(networks)

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        recipe, generator = self.recipe, self.generator
        faces = self._distorted(batch)
        people = self._people(batch)
        code = generator.encode(faces.input)
        decoded = generator.decode(code, people)
        with torch.autocast(decoded.device.type, enabled=False):
            margin = F.max_pool2d(faces.masks, 2 * self.MARGIN + 1, 1, self.MARGIN)
            features = feature_map(transform(batch.points, invert(faces.matrices)), margin.shape[-1])
            target = faces.target
            weights = (self.OUTSIDE + (1 - self.OUTSIDE) * margin) * (1 + recipe.features * features)
            if decoded.shape[-1] != target.shape[-1]:
                target, weights = F.avg_pool2d(target, 2), F.avg_pool2d(weights, 2)
            terms = {
                "reconstruction": losses.weighted_mean((decoded - target).abs(), weights),
                "structure": losses.structure(decoded, target, weights),
                "classification": F.cross_entropy(generator.classify(code), people),
                "recognisability": generator.recognisability(code),
            }
            total = recipe.reconstruction * terms["reconstruction"] + recipe.structure * terms["structure"]
            total = total + terms["classification"] + recipe.anonymity * terms["recognisability"]
            total = total + self.CODE * code.float().square().mean()
        if not generator.refinement:
            return Loss(total, {name: term.detach() for name, term in terms.items()}, decoded.detach())
        pasted = torch.lerp(faces.target, decoded, faces.masks)
        if recipe.identity or recipe.consistency:
            half = max(1, len(people) // 2)
            others = self._others(people[:half])
            swapped = torch.lerp(faces.target[:half], generator.decode(code[:half], others), faces.masks[:half])
            terms["identity"] = self._identity(batch, faces, swapped, others)
            terms["consistency"] = relative_error(generator.encode(swapped), code[:half])
            refining = recipe.identity * terms["identity"] + recipe.consistency * terms["consistency"]
            total = total + generator.refinement * refining
            pasted = torch.cat([swapped, pasted[half:]])
        if recipe.trains_discriminator:
            sharpening, adversarial = self.adversary.generator_terms(faces.target, pasted)
            total = total + generator.refinement * sharpening
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
        latents, spreads = self.generator.latents[people], self.generator.spreads[people]
        return losses.identity_loss(n.embedder, swapped, matrices, latents, n.centre, spreads)


def feature_map(points: Tensor, side: int) -> Tensor:
    """Map of eyes and mouth: float (B, 1, side, side), 1 at the eyes, the mouth's corners and its middle, 0 far away.

    points: (B, 5, 2), landmarks, px: eyes, nose, corners of the mouth.
    """
    x = torch.arange(side, dtype=points.dtype, device=points.device)
    centres = torch.cat([points[:, [0, 1, 3, 4]], points[:, 3:].mean(1, keepdim=True)], 1)  # (B, 5, 2)
    squared = (x - centres[..., None]).square() / (2 * (_FEATURE_RADIUS * side) ** 2)  # (B, 5, 2, side)
    bells = torch.exp(-squared[:, :, 1, :, None] - squared[:, :, 0, None, :])  # (B, 5, side, side)
    return bells.amax(1, keepdim=True)


def relative_error(code: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance between codes (B, K), relative to the variance of the targets, which get no gradient."""
    code, target = code.float(), target.detach().float()
    return (code - target).square().mean() / (target.var(0).mean() + 1e-6)
