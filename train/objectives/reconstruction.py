"""What the objectives of generators with a narrow code share: reconstruction first, then the refining losses."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from train import losses
from train.build import Networks, memory_format
from train.data.distortion import DistortedFaces, compose, distort, invert, transform
from train.data.loader import Batch
from train.objectives.adversary import Adversary
from train.objectives.objective import Loss, Terms

_FEATURE_RADIUS = 0.06  # deviation of the bells around eyes and mouth, in sides of the crop: about an eye's half width


class CodedGenerator(Protocol):
    """What the objective needs of a generator."""

    refinement: float

    def encode(self, rgb01: Tensor) -> Tensor:
        """Targets (N, 3, S, S) -> codes (N, K)."""


@dataclass(frozen=True)
class Swaps:
    """Swaps of the first faces of a batch.

    Attributes:
        decoded: (n, 3, S, S), the faces.
        latents: (n, D), of the people whom they should show.
        sufficient: (n,), distances to them at which the identity loss ends.
    """

    decoded: Tensor
    latents: Tensor
    sufficient: Tensor


class ReconstructionObjective:
    """L_G = lambda_rec L_1 + lambda_struct L_ssim + r (L_swap + L_sharp), and what a subclass adds.

    All on distorted photos of each person. L_1 and L_ssim are weighted by the recipe's mask, the face fully and the
    rest a little, and by 1 + lambda_feat around eyes and mouth.

    r rises from 0 to 1 when reconstruction has learned the faces (`FaceGenerator.refinement`). Its losses are computed
    on faces pasted into their targets inside of the mask: L_sharp = lambda_adv L_adv + lambda_wfm L_wfm. The first half
    of the batch is swapped for them, and L_swap = lambda_id L_id + lambda_con L_con is computed on that half: L_id is
    the distance to the person's latent, as far as it exceeds that of the person's photos, L_con the squared distance
    between the codes of target and swap, relative to the codes' variance. The distortion, which blurs reconstructions
    because the undistorted shape cannot be known, fades out as r rises.
    """

    OUTSIDE = 0.1
    """Weight of pixels outside of the mask."""

    MARGIN = 2
    """Pixels by which the mask is widened, so that the edge of the face counts too."""

    CODE = 1e-3
    """Weight of the mean square of the codes, which keeps their scale."""

    def __init__(self, networks: Networks, generator: CodedGenerator) -> None:
        self.networks, self.recipe, self._coder = networks, networks.recipe, generator
        self.adversary = Adversary(networks)

    def reconstruct(self, code: Tensor, batch: Batch, faces: DistortedFaces) -> Tensor:
        """Each face from its code as its own person: (B, 3, S, S), or half as large."""
        raise NotImplementedError

    def swap(self, code: Tensor, batch: Batch, faces: DistortedFaces) -> Swaps:
        """The first faces of the batch, whose codes are given, as other people."""
        raise NotImplementedError

    def code_terms(self, code: Tensor, batch: Batch) -> tuple[Tensor, Terms]:
        """Weighted loss on the codes, and its terms; none unless a subclass adds some."""
        return code.new_zeros((), dtype=torch.float32), {}

    def generator_loss(self, batch: Batch, a: float) -> Loss:
        recipe, refinement = self.recipe, self._coder.refinement
        faces = self._distorted(batch)
        code = self._coder.encode(faces.input)
        decoded = self.reconstruct(code, batch, faces)
        with torch.autocast(decoded.device.type, enabled=False):
            margin = F.max_pool2d(faces.masks, 2 * self.MARGIN + 1, 1, self.MARGIN)
            features = feature_map(moved_points(batch, faces), margin.shape[-1])
            target = faces.target
            weights = (self.OUTSIDE + (1 - self.OUTSIDE) * margin) * (1 + recipe.features * features)
            if decoded.shape[-1] != target.shape[-1]:
                target, weights = F.avg_pool2d(target, 2), F.avg_pool2d(weights, 2)
            terms = {
                "reconstruction": losses.weighted_mean((decoded - target).abs(), weights),
                "structure": losses.structure(decoded, target, weights),
            }
            total = recipe.reconstruction * terms["reconstruction"] + recipe.structure * terms["structure"]
            on_code, code_terms = self.code_terms(code, batch)
            total = total + on_code + self.CODE * code.float().square().mean()
            terms |= code_terms
        if not refinement:
            return Loss(total, {name: term.detach() for name, term in terms.items()}, decoded.detach())
        pasted = torch.lerp(faces.target, decoded, faces.masks)
        if recipe.identity or recipe.consistency:
            half = max(1, len(code) // 2)
            swaps = self.swap(code[:half], batch, faces)
            swapped = torch.lerp(faces.target[:half], swaps.decoded, faces.masks[:half])
            terms["identity"] = self._identity(batch, faces, swapped, swaps)
            terms["consistency"] = relative_error(self._coder.encode(swapped), code[:half])
            refining = recipe.identity * terms["identity"] + recipe.consistency * terms["consistency"]
            total = total + refinement * refining
            pasted = torch.cat([swapped, pasted[half:]])
        if recipe.trains_discriminator:
            sharpening, adversarial = self.adversary.generator_terms(faces.target, pasted)
            total = total + refinement * sharpening
            terms |= adversarial
        return Loss(total, {name: term.detach() for name, term in terms.items()}, pasted.detach())

    def discriminator_loss(self, batch: Batch, a: float, fake: Tensor | None = None) -> Loss:
        # The seed of a part makes this the same distortion as that of the generator's update.
        faces = self._distorted(batch)
        if fake is None:
            with torch.no_grad():
                decoded = self.reconstruct(self._coder.encode(faces.input), batch, faces)
                fake = torch.lerp(faces.target, decoded, faces.masks)
        return self.adversary.discriminator_loss(faces.target, fake, fake)

    def _distorted(self, batch: Batch) -> DistortedFaces:
        """The batch's targets, distorted, in the networks' memory format."""
        layout = memory_format(self.recipe, batch.target.device)
        with torch.autocast(batch.target.device.type, enabled=False):
            masks = None if batch.masks is None else batch.masks.float()
            rgb01 = (batch.target.float() / 255).contiguous(memory_format=layout)
            return distort(rgb01, masks, self.recipe.warp * (1 - self._coder.refinement))

    def _identity(self, batch: Batch, faces: DistortedFaces, swapped: Tensor, swaps: Swaps) -> Tensor:
        """L_id of the first faces of a batch, swapped."""
        n, rows = self.networks, slice(0, len(swapped))
        matrices = compose(batch.matrices[rows], faces.matrices[rows])
        return losses.identity_loss(n.embedder, swapped, matrices, swaps.latents, n.centre, swaps.sufficient)


def moved_points(batch: Batch, faces: DistortedFaces) -> Tensor:
    """The landmarks (B, 5, 2) of the batch's targets on the moved faces, px."""
    return transform(batch.points, invert(faces.matrices))


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
